import { z } from 'zod';
import { badInput } from './failure.ts';
import { readJsonLines } from './json-lines.ts';
import { questionId } from './questions.ts';

export interface StoredAnswer {
  readonly id: string | null;
  readonly model: string | null;
  readonly question: string;
  readonly turns: readonly string[];
}

/** What models said, turn by turn: by model and question. */
export type Answers = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

const MAX_TEXT = 1_000_000;
const text = z.string().max(MAX_TEXT);

/** The blog's form (text), MT-bench's (choices with turns), and the short one (turns). */
const answerSchema = z
  .object({
    answer_id: z.string().max(128).optional(),
    model_id: z.string().max(128).optional(),
    question_id: questionId,
    text: text.optional(),
    turns: z.array(text).min(1).max(16).optional(),
    choices: z
      .array(z.object({ turns: z.array(text).min(1).max(16) }))
      .min(1)
      .optional(),
  })
  .transform(({ answer_id, model_id, question_id, text: single, turns, choices }, context): StoredAnswer => {
    const found = turns ?? choices?.[0]?.turns ?? (single === undefined ? undefined : [single]);
    if (found === undefined) context.addIssue({ code: 'custom', message: 'an answer needs text, turns or choices' });
    return { id: answer_id ?? null, model: model_id ?? null, question: question_id, turns: found ?? [] };
  });

/** The answers of one model in a file's content. Throws a Failure for a bad file, and for a question that is answered twice. */
export function parseAnswers(content: Buffer, file: string): StoredAnswer[] {
  const answers = readJsonLines(content, answerSchema, file);
  const seen = new Set<string>();
  for (const { question } of answers) {
    if (seen.has(question)) throw badInput(`${file} answers question ${question} twice: give a file with the answers of one model`);
    seen.add(question);
  }
  return answers;
}
