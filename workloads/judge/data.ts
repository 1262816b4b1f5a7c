import { z } from 'zod';
import { parseAnswers, type StoredAnswer } from './answers.ts';
import type { Prompts } from './config.ts';
import { badInput } from './failure.ts';
import { readJsonLines } from './json-lines.ts';
import { TITLES } from './published.ts';
import { parseQuestions, type Question, questionId, vicuna80 } from './questions.ts';
import { asUri, openStorage } from './storage.ts';
import type { Storage } from './storage-contract.ts';

// An evaluation as files: question.jsonl, model.jsonl, answer/*.jsonl, review/**/*.jsonl. The blog's archive has this form, and so has what
// a run writes.

export interface Review {
  readonly id: string;
  /** Directory of its file: reviews of one set are compared with each other only. */
  readonly set: string;
  readonly question: string;
  /** Counted from 1. */
  readonly turn: number;
  /** The model whose answer stands first. */
  readonly first: string;
  /** Null where the judge saw one answer alone. */
  readonly second: string | null;
  readonly text: string;
  /** Scores beside the text: two, or one where the judge saw one answer. */
  readonly stored: readonly number[] | null;
  readonly prompts: Prompts;
  readonly reviewer: string | null;
}

/** What a run says of itself, in evaluation.json: files of an earlier run that are not its own do not count. */
export const aboutSchema = z.object({ candidate: z.string(), judge: z.string(), bothOrders: z.boolean(), files: z.array(z.string()) });
export type About = z.output<typeof aboutSchema>;

export interface EvaluationData {
  readonly about: About | null;
  /** Null where the reviews do not say it. */
  readonly judge: string | null;
  readonly questions: readonly Question[];
  /** Names to show, by id. */
  readonly titles: ReadonlyMap<string, string>;
  /** Of a model, by question. */
  readonly answers: ReadonlyMap<string, ReadonlyMap<string, StoredAnswer>>;
  readonly reviews: readonly Review[];
}

const reviewSchema = z.object({
  review_id: z.string().max(128),
  question_id: questionId,
  turn: z.int().min(1).default(1),
  answer1_id: z.string().max(512),
  answer2_id: z.string().max(512).nullable(),
  model1: z.string().max(128).optional(),
  model2: z.string().max(128).nullable().optional(),
  text: z.string().max(1_000_000),
  score: z.array(z.number()).min(1).max(2).nullable().default(null),
  prompts: z.enum(['vicuna', 'mt-bench']).default('vicuna'),
  reviewer_id: z.union([z.string().max(253), z.number()]).optional(),
});

const modelSchema = z.object({ model_id: z.string().max(128) });

/** Directories above that of the reviews in which questions and answers are looked for. */
const LEVELS = 3;

/**
 * Reads an evaluation. `place`: a directory or URI with reviews somewhere below it; questions and answers lie there or above it. Where
 * there are none, models are named after the review's file (review_BASELINE_CANDIDATE.jsonl) and questions 1 to 80 are the blog's.
 */
export async function readEvaluation(place: string): Promise<EvaluationData> {
  const reviewsAt = await openStorage(place);
  const root = await rootOf(reviewsAt);
  const about = await readAbout(root);
  const names = (await reviewsAt.list('')).filter((path) => isReview(path) && isOwn(about, path));
  if (names.length === 0) throw badInput(`${place} has no reviews: give a directory with files named review_BASELINE_CANDIDATE.jsonl`);
  const [questions, models, answers] = await Promise.all([
    root.read('question.jsonl').then((found) => (found === null ? vicuna80() : parseQuestions(found, `${root.uri}/question.jsonl`))),
    root.read('model.jsonl').then((found) => (found === null ? [] : readJsonLines(found, modelSchema, `${root.uri}/model.jsonl`))),
    readAnswers(root, about),
  ]);
  const owners = new Map(answers.flatMap((answer) => (answer.id === null || answer.model === null ? [] : [[answer.id, answer.model]])));
  const reviews: Review[] = [];
  for (const path of names) reviews.push(...parseReviews((await reviewsAt.read(path)) ?? Buffer.alloc(0), path, owners));
  const byModel = new Map(
    [...Map.groupBy(answers, (a) => a.model ?? '')].map(([model, own]) => [model, new Map(own.map((a) => [a.question, a]))]),
  );
  const ids = new Set([...models.map((m) => m.model_id), ...byModel.keys(), ...reviews.flatMap((r) => [r.first, r.second ?? r.first])]);
  return {
    about,
    judge: about?.judge ?? judgeOf(reviews),
    questions,
    titles: new Map([...ids].map((id) => [id, TITLES.get(id) ?? id])),
    answers: byModel,
    reviews,
  };
}

/** The blog's reviewers are one judge with prompts by category: gpt-4-0328-generic, -coding, -math. */
function judgeOf(reviews: readonly Review[]): string | null {
  const [only = null, ...more] = new Set(reviews.flatMap((r) => r.reviewer?.replace(/-(default|generic|coding|math)$/, '') ?? []));
  return more.length === 0 ? only : null;
}

const isReview = (path: string) => /(^|\/)review[^/]*\.jsonl$/.test(path) && !path.endsWith('reviewer.jsonl');

/** The nearest directory, upwards, that has questions. */
async function rootOf(start: Storage): Promise<Storage> {
  let uri = asUri(start.uri);
  for (let level = 0; level <= LEVELS; level++) {
    const storage = level === 0 ? start : await openStorage(uri);
    if ((await storage.read('question.jsonl')) !== null) return storage;
    const above = uri.slice(0, uri.lastIndexOf('/'));
    if (above.endsWith('/') || above.endsWith(':')) break;
    uri = above;
  }
  return start;
}

/** Reviews may be read from a directory below the root. */
const isOwn = (about: About | null, path: string) =>
  about === null || about.files.some((file) => file === path || file.endsWith(`/${path}`));

async function readAnswers(root: Storage, about: About | null): Promise<StoredAnswer[]> {
  const found: StoredAnswer[] = [];
  for (const path of await root.list('answer')) {
    if (!path.endsWith('.jsonl') || !isOwn(about, path)) continue;
    const content = await root.read(path);
    if (content !== null) found.push(...parseAnswers(content, `${root.uri}/${path}`));
  }
  return found;
}

async function readAbout(root: Storage): Promise<About | null> {
  const content = await root.read('evaluation.json');
  if (content === null) return null;
  return readJsonLines(content, aboutSchema, `${root.uri}/evaluation.json`)[0] ?? null;
}

function parseReviews(content: Buffer, path: string, owners: ReadonlyMap<string, string>): Review[] {
  const named = /review_([^_/]+)_([^_/]+)\.jsonl$/.exec(path);
  const slash = path.lastIndexOf('/');
  return readJsonLines(content, reviewSchema, path).map((r) => {
    const first = r.model1 ?? owners.get(r.answer1_id) ?? named?.[1];
    const second = r.answer2_id === null ? null : (r.model2 ?? owners.get(r.answer2_id) ?? named?.[2]);
    if (first === undefined || second === undefined)
      throw badInput(`${path}: whose answers are compared is not known: put the answers into answer/ beside question.jsonl`);
    if (r.score !== null && r.score.length !== (second === null ? 1 : 2))
      throw badInput(`${path}: question ${r.question_id} has ${r.score.length} scores`);
    return {
      id: r.review_id,
      set: slash < 0 ? '' : path.slice(0, slash).replace(/^review(\/|$)/, ''),
      question: r.question_id,
      turn: r.turn,
      first,
      second,
      text: r.text,
      stored: r.score,
      prompts: r.prompts,
      reviewer: typeof r.reviewer_id === 'string' ? r.reviewer_id : null,
    };
  });
}
