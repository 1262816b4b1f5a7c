import type { z } from 'zod';
import type { Problem } from './state.ts';

/** What a program left behind as its result, as the schema has it; or why it is none. Fields that the schema does not know are left out. */
export function readResult<T>(
  text: string,
  schema: z.ZodType<T>,
): { readonly value: T; readonly problem: null } | { readonly value: null; readonly problem: Problem } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return unreadable(text === '' ? 'nothing' : `no JSON: ${text.slice(0, 200)}`);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { value: parsed.data, problem: null };
  const issues = parsed.error.issues.slice(0, 3).map(({ path, message }) => `${path.join('.') || 'the whole'}: ${message}`);
  return unreadable(`another result than expected (${issues.join('; ').slice(0, 400)})`);
}

function unreadable(what: string): { value: null; problem: Problem } {
  const message = `the program ended well, but left ${what}: use an image of this operator’s version, and create the object again`;
  return { value: null, problem: { reason: 'ResultUnreadable', message } };
}
