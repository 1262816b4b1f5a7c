import type { Answers } from '../answers.ts';
import type { JudgeTask, ModelSource, Price } from '../config.ts';
import type { Question } from '../questions.ts';
import { answerRequest } from './answer-request.ts';
import { guessTokens } from './chat.ts';
import { costOf, NO_USAGE, plus, type Usage } from './ledger.ts';
import { judgeSettings, reviewRequest, reviewsOf } from './review-request.ts';

/** Mean of the 560 answers and of the 1,040 reviews of the blog's evaluation, characters. */
const ANSWER_CHARACTERS = 1_146;
const REVIEW_CHARACTERS = 667;

export interface Estimate {
  readonly requests: number;
  readonly tokens: Usage;
  /** Dollars; null where a price is not known. */
  readonly about: number | null;
  /** When every answer is as long as it may be. */
  readonly atMost: number | null;
}

export interface CostEstimate {
  readonly answers: Estimate;
  readonly judge: Estimate;
  readonly total: { readonly about: number | null; readonly atMost: number | null };
}

/** What a whole evaluation asks for and costs, four characters a token; nothing is subtracted for what lies there already. */
export function estimateCost(task: JudgeTask, questions: readonly Question[], known: Answers): CostEstimate {
  const models = [task.candidate, ...task.baselines];
  const answers = models.map((m) => (m.endpoint === undefined ? NOTHING : answersOf(m, m.endpoint, questions)));
  const judge = between(
    (characters) => judged(task, questions, assumed(models, questions, known, characters), REVIEW_CHARACTERS / 4),
    (characters) => judged(task, questions, assumed(models, questions, known, characters), judgeSettings(task).maxTokens),
    ANSWER_CHARACTERS,
    Math.max(0, ...models.map((m) => (m.endpoint?.maxTokens ?? 0) * 4)),
    task.judge.price,
  );
  const all = answers.reduce(sum, NOTHING);
  return { answers: all, judge, total: { about: add(all.about, judge.about), atMost: add(all.atMost, judge.atMost) } };
}

const NOTHING: Estimate = { requests: 0, tokens: NO_USAGE, about: 0, atMost: 0 };
const add = (a: number | null, b: number | null) => (a === null || b === null ? null : a + b);
const sum = (a: Estimate, b: Estimate): Estimate => ({
  requests: a.requests + b.requests,
  tokens: plus(a.tokens, b.tokens),
  about: add(a.about, b.about),
  atMost: add(a.atMost, b.atMost),
});

interface Load {
  readonly requests: number;
  readonly tokens: Usage;
}

/** An estimate from the load at the usual length of answers and at their longest. */
function between(
  usual: (characters: number) => Load,
  most: (characters: number) => Load,
  mean: number,
  longest: number,
  price: Price | undefined,
): Estimate {
  const load = usual(mean);
  return {
    ...load,
    about: price === undefined ? null : costOf(load.tokens, price),
    atMost: price === undefined ? null : costOf(most(longest).tokens, price),
  };
}

function answersOf(model: ModelSource, endpoint: NonNullable<ModelSource['endpoint']>, questions: readonly Question[]): Estimate {
  const load =
    (outputTokens: number) =>
    (characters: number): Load => {
      let [requests, tokens] = [0, NO_USAGE];
      for (const question of questions)
        for (const turn of question.turns.keys()) {
          const said = Array.from({ length: turn }, () => 'x'.repeat(characters));
          const { messages } = answerRequest(endpoint, question, said);
          requests++;
          tokens = plus(tokens, { input: guessTokens(messages.map((m) => m.content).join('')), output: Math.ceil(outputTokens) });
        }
      return { requests, tokens };
    };
  const usual = Math.min(endpoint.maxTokens, ANSWER_CHARACTERS / 4);
  return between(load(usual), load(endpoint.maxTokens), ANSWER_CHARACTERS, (model.endpoint?.maxTokens ?? 0) * 4, endpoint.price);
}

function assumed(models: readonly ModelSource[], questions: readonly Question[], known: Answers, characters: number): Answers {
  const invented = new Map(questions.map((q) => [q.id, q.turns.map(() => 'x'.repeat(characters))]));
  return new Map(models.map((m) => [m.name, m.endpoint === undefined ? (known.get(m.name) ?? new Map()) : invented]));
}

function judged(task: JudgeTask, questions: readonly Question[], answers: Answers, outputTokens: number): Load {
  let [requests, tokens] = [0, NO_USAGE];
  for (const review of reviewsOf(task, questions)) {
    const request = reviewRequest(task, review, answers);
    if (request === null) continue;
    requests++;
    tokens = plus(tokens, { input: guessTokens(request.messages.map((m) => m.content).join('')), output: Math.ceil(outputTokens) });
  }
  return { requests, tokens };
}
