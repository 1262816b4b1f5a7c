import type { z } from 'zod';
import { badInput } from './failure.ts';

/** The records of a JSON lines file. A line that is none, or has the wrong fields, is refused with its number. */
export function readJsonLines<T extends z.ZodType>(content: Buffer, schema: T, file: string): z.output<T>[] {
  const records: z.output<T>[] = [];
  for (const [i, line] of content.toString('utf8').split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${file}, line ${i + 1}`;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw badInput(`${where} is no JSON: ${(error as Error).message}`);
    }
    const result = schema.safeParse(value);
    if (!result.success) {
      const [issue] = result.error.issues;
      throw badInput(`${where}: ${issue?.path.join('.') || 'the record'}: ${issue?.message}`);
    }
    records.push(result.data);
  }
  return records;
}

export const toJsonLines = (records: readonly unknown[]) => records.map((r) => `${JSON.stringify(r)}\n`).join('');
