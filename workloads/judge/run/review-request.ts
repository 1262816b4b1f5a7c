import type { Answers } from '../answers.ts';
import { type JudgeTask, promptsOf } from '../config.ts';
import { BLOG_MAX_TOKENS, BLOG_SYSTEM, BLOG_TEMPERATURE, blogMessage } from '../prompts/blog.ts';
import { MT_BENCH_MAX_TOKENS, MT_BENCH_TEMPERATURE, PAIR_SYSTEM, pairMessage, SINGLE_SYSTEM, singleMessage } from '../prompts/mt-bench.ts';
import type { Question } from '../questions.ts';
import type { ChatRequest } from './chat.ts';

/** A review that is to be: which answers, in which order. */
export interface PlannedReview {
  readonly question: Question;
  /** Counted from 1. */
  readonly turn: number;
  readonly first: string;
  /** Null in mode single. */
  readonly second: string | null;
}

/** All reviews, question by question: whatever stops the run, each baseline has been judged on about as many. */
export function* reviewsOf(
  { candidate, baselines, mode, bothOrders }: JudgeTask,
  questions: readonly Question[],
): Generator<PlannedReview> {
  for (const question of questions)
    for (let turn = 1; turn <= question.turns.length; turn++) {
      if (mode === 'single') for (const { name } of [candidate, ...baselines]) yield { question, turn, first: name, second: null };
      else
        for (const { name } of baselines) {
          yield { question, turn, first: name, second: candidate.name };
          if (bothOrders) yield { question, turn, first: candidate.name, second: name };
        }
    }
}

/** How the judge is to write. */
export function judgeSettings(task: JudgeTask): Pick<ChatRequest, 'temperature' | 'maxTokens'> {
  const blog = promptsOf(task) === 'vicuna';
  return {
    temperature: task.judge.temperature ?? (blog ? BLOG_TEMPERATURE : MT_BENCH_TEMPERATURE),
    maxTokens: task.judge.maxTokens ?? (blog ? BLOG_MAX_TOKENS : MT_BENCH_MAX_TOKENS),
  };
}

/** What the judge is asked; null when an answer is missing. */
export function reviewRequest(task: JudgeTask, { question, turn, first, second }: PlannedReview, answers: Answers): ChatRequest | null {
  const conversation = (model: string) => {
    const said = answers.get(model)?.get(question.id)?.slice(0, turn);
    return said?.length === turn ? { questions: question.turns.slice(0, turn), answers: said } : null;
  };
  const one = conversation(first);
  const other = second === null ? null : conversation(second);
  if (one === null || (second !== null && other === null)) return null;
  const settings = judgeSettings(task);
  const say = (system: string, user: string): ChatRequest => ({
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: user },
    ],
    ...settings,
  });
  const reference = question.reference.slice(0, turn);
  if (other === null) return say(SINGLE_SYSTEM, singleMessage(one, reference));
  if (promptsOf(task) === 'mt-bench') return say(PAIR_SYSTEM, pairMessage(one, other, reference));
  return say(BLOG_SYSTEM, blogMessage(question.category, question.turns[0] ?? '', one.answers[0] ?? '', other.answers[0] ?? ''));
}
