import { readEvaluation } from './data.ts';
import { makeReport } from './report.ts';
import { reportMarkdown } from './report-markdown.ts';
import { asUri, openStorage } from './storage.ts';

interface ReportFiles {
  readonly json?: string | undefined;
  readonly markdown?: string | undefined;
}

export async function report(reviews: string, { json, markdown }: ReportFiles): Promise<void> {
  const made = makeReport(await readEvaluation(reviews));
  if (json !== undefined) await writePlace(json, `${JSON.stringify(made, null, 2)}\n`);
  if (markdown !== undefined) await writePlace(markdown, reportMarkdown(made));
  if (json === undefined && markdown === undefined) console.log(reportMarkdown(made));
}

async function writePlace(place: string, content: string): Promise<void> {
  const uri = asUri(place);
  const at = uri.lastIndexOf('/');
  const name = uri.slice(at + 1);
  await (await openStorage(uri.slice(0, at))).write(uri.startsWith('file:') ? decodeURIComponent(name) : name, content);
}
