import type { EvaluationData } from '../data.ts';
import type { Report } from '../report.ts';
import { asScript, overviewOf, questionFilesOf } from './data-files.ts';
import { pageFiles } from './page-files.ts';

export type WriteFile = (path: string, content: string | Uint8Array) => Promise<void>;

/** Writes the page and its data; index.html can be opened where it lies, and be served by anything. */
export async function writeViewer(data: EvaluationData, report: Report, write: WriteFile): Promise<void> {
  for (const [name, content] of await pageFiles()) await write(name, content);
  await write('overview.js', asScript('vicunaOverview', overviewOf(data, report)));
  for (const [index, question] of questionFilesOf(data).entries())
    await write(`questions/${index}.js`, `globalThis.vicunaQuestions ??= {};\n${asScript(`vicunaQuestions[${index}]`, question)}`);
}
