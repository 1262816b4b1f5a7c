import { createHash } from 'node:crypto';
import type { Answers } from '../answers.ts';
import { type JudgeTask, promptsOf } from '../config.ts';
import type { About } from '../data.ts';
import { toJsonLines } from '../json-lines.ts';
import type { Question } from '../questions.ts';
import { parseRating, parseScores } from '../review-parser.ts';
import type { Storage } from '../storage-contract.ts';
import type { MadeReview } from './collect-reviews.ts';
import type { Part } from './parts.ts';
import type { PlannedReview } from './review-request.ts';

const answerId = (model: string, question: string) => `${model}/${question}`;

/**
 * Writes what a run has collected in the form of the blog's archive (question.jsonl, model.jsonl, answer/, review/), which `report` and
 * `viewer` read, here and later.
 */
export async function writeEvaluation(
  storage: Storage,
  task: JudgeTask,
  questions: readonly Question[],
  answers: Answers,
  made: readonly MadeReview[],
): Promise<void> {
  const reviews = inOrder(questions, made);
  const files = new Map<string, string>();
  for (const [model, own] of answers)
    files.set(
      `answer/answer_${model}.jsonl`,
      toJsonLines(
        questions.flatMap(({ id }) => {
          const turns = own.get(id);
          return turns === undefined ? [] : [{ answer_id: answerId(model, id), model_id: model, question_id: id, turns }];
        }),
      ),
    );
  for (const [name, own] of Map.groupBy(reviews, ({ planned }) => fileOf(task, planned)))
    files.set(name, toJsonLines(own.map((review) => recordOf(task, review))));
  const about: About = { candidate: task.candidate.name, judge: task.judge.model, bothOrders: task.bothOrders, files: [...files.keys()] };
  files.set('question.jsonl', toJsonLines(questions.map(({ id, ...rest }) => ({ question_id: id, ...rest }))));
  files.set('model.jsonl', toJsonLines([...answers.keys()].map((model) => ({ model_id: model }))));
  for (const [path, content] of files) await storage.write(path, content);
  await storage.write('evaluation.json', toJsonLines([about]));
}

const fileOf = ({ candidate }: JudgeTask, { first, second }: PlannedReview) =>
  second === null ? `review/review_${first}.jsonl` : `review/review_${first === candidate.name ? second : first}_${candidate.name}.jsonl`;

interface KeptReview {
  readonly planned: PlannedReview;
  readonly part: Part;
}

/** They come in as the judge answers; files are the same for the same reviews. */
function inOrder(questions: readonly Question[], made: readonly MadeReview[]): KeptReview[] {
  const place = new Map(questions.map((q, i) => [q.id, i]));
  const key = ({ planned }: KeptReview) =>
    [place.get(planned.question.id) ?? 0, planned.turn, `${planned.first} ${planned.second}`] as const;
  return made
    .flatMap(({ planned, part }) => (part === null ? [] : [{ planned, part }]))
    .toSorted((a, b) => {
      const [one, other] = [key(a), key(b)];
      return one[0] - other[0] || one[1] - other[1] || (one[2] < other[2] ? -1 : 1);
    });
}

function recordOf(task: JudgeTask, { planned: { question, turn, first, second }, part: { text, usage, finish } }: KeptReview): object {
  const digest = createHash('sha256').update(JSON.stringify([question.id, turn, first, second, text]));
  return {
    review_id: digest.digest('hex').slice(0, 22),
    question_id: question.id,
    turn,
    model1: first,
    model2: second,
    answer1_id: answerId(first, question.id),
    answer2_id: second === null ? null : answerId(second, question.id),
    text,
    score: scoreOf(task, second, text),
    reviewer_id: task.judge.model,
    prompts: promptsOf(task),
    metadata: { usage, finish },
  };
}

function scoreOf(task: JudgeTask, second: string | null, text: string): readonly number[] | null {
  if (second === null) {
    const parsed = parseRating(text);
    return 'problem' in parsed ? null : [parsed.rating];
  }
  if (promptsOf(task) === 'mt-bench') return null;
  const parsed = parseScores(text);
  return 'problem' in parsed ? null : parsed.scores;
}
