import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { badInput } from './failure.ts';
import { readJsonLines } from './json-lines.ts';

export interface Question {
  readonly id: string;
  readonly category: string;
  /** What the user says, turn by turn. */
  readonly turns: readonly string[];
  /** Right answers, turn by turn, where there are any: the judge sees them. */
  readonly reference: readonly string[];
}

const MAX_TEXT = 200_000;
const MAX_TURNS = 16;
const MAX_QUESTIONS = 10_000;

const text = z.string().max(MAX_TEXT);
/** Ids become parts of paths and of links. */
export const questionId = z
  .union([
    z.int().min(0),
    z.string().regex(/^[A-Za-z0-9][-A-Za-z0-9_.:]{0,63}$/, 'no id of a question: use letters, digits, "-", "_", "." and ":"'),
  ])
  .transform(String);

/** The blog's form, MT-bench's form, and what people write by hand. */
const questionSchema = z
  .object({
    question_id: questionId.optional(),
    id: questionId.optional(),
    category: z
      .string()
      .max(63)
      .regex(/^[^\p{Cc}]+$/u, 'no name of a category: write it in one line')
      .default('general'),
    text: text.min(1).optional(),
    turns: z.array(text.min(1)).min(1).max(MAX_TURNS).optional(),
    reference: z.union([text, z.array(text).max(MAX_TURNS)]).optional(),
  })
  .transform(({ question_id, id, category, text: single, turns, reference }, context): Question => {
    const fault = (message: string) => context.addIssue({ code: 'custom', message });
    if ((question_id ?? id) === undefined) fault('a question needs question_id');
    if ((single === undefined) === (turns === undefined)) fault('give either text or turns');
    return {
      id: question_id ?? id ?? '',
      category,
      turns: turns ?? [single ?? ''],
      reference: reference === undefined ? [] : typeof reference === 'string' ? [reference] : reference,
    };
  });

/** The questions in a file's content, in its order. Throws a Failure for a bad or an empty one. */
export function parseQuestions(content: Buffer, file: string): Question[] {
  const questions = readJsonLines(content, questionSchema, file);
  if (questions.length === 0) throw badInput(`${file} has no questions`);
  if (questions.length > MAX_QUESTIONS) throw badInput(`${file} has ${questions.length} questions, at most ${MAX_QUESTIONS} are taken`);
  const seen = new Set<string>();
  for (const { id } of questions) {
    if (seen.has(id)) throw badInput(`${file} has question ${id} twice: give each its own question_id`);
    seen.add(id);
  }
  return questions;
}

/** Where the program's image has the blog's 80 questions, and where the repository has them. */
export const BUILT_QUESTIONS = 'vicuna-80.jsonl';
export const VICUNA_80 = join(import.meta.dirname, '..', '..', 'examples', 'evaluation', 'question.jsonl');

/** The blog's 80 questions. */
export function vicuna80(): Question[] {
  const built = join(import.meta.dirname, BUILT_QUESTIONS);
  const file = existsSync(built) ? built : VICUNA_80;
  return parseQuestions(readFileSync(file), file);
}
