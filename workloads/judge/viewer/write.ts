import type { EvaluationData } from '../data.ts';
import type { Report } from '../report.ts';
import { concurrently } from '../run/concurrently.ts';
import { asScript, overviewOf, questionFilesOf } from './data-files.ts';
import { pageFiles } from './page-files.ts';

export type WriteFile = (path: string, content: string | Uint8Array) => Promise<void>;

const AT_ONCE = 8;

/** Writes the page and its data; index.html can be opened where it lies, and be served by anything. */
export async function writeViewer(data: EvaluationData, report: Report, write: WriteFile): Promise<void> {
  const files = new Map<string, string | Uint8Array>(await pageFiles());
  files.set('overview.js', asScript('vicunaOverview', overviewOf(data, report)));
  for (const [index, question] of questionFilesOf(data).entries())
    files.set(`questions/${index}.js`, `globalThis.vicunaQuestions ??= {};\n${asScript(`vicunaQuestions[${index}]`, question)}`);
  await concurrently(files, AT_ONCE, ([path, content]) => write(path, content));
}
