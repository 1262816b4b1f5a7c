import type { z } from 'zod';
import { type Report, reportSchema, type TaskReport, taskReportSchema } from '../api/protocol.ts';
import { ProtocolError } from './protocol-error.ts';

const ISSUES_TOLD = 5;
/** A sentence may quote what was sent: an unknown field's name, which can be as long as the body. */
const LONGEST_ISSUE = 200;

/** The report in a request's body; throws ProtocolError 400 with the fields that are wrong. */
export function parseReport(body: Buffer): Report {
  return parse(body, reportSchema);
}

/** The report of a task's pod in a request's body; throws as `parseReport` does. */
export function parseTaskReport(body: Buffer): TaskReport {
  return parse(body, taskReportSchema);
}

function parse<T>(body: Buffer, schema: z.ZodType<T>): T {
  const text = body.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const hint = /\b(NaN|Infinity)\b/.test(text)
      ? 'NaN and Infinity are not JSON: report a loss that is not a number as null'
      : 'send one JSON object';
    throw new ProtocolError('MalformedJson', `The body is not JSON: ${hint}.`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues
    .slice(0, ISSUES_TOLD)
    .map(({ path, message }) => `${path.length === 0 ? 'the report' : path.join('.')}: ${message}`.slice(0, LONGEST_ISSUE));
  throw new ProtocolError('InvalidReport', `The report is not as the protocol has it: ${issues.join('; ')}.`);
}
