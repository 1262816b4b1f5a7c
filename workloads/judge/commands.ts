import { parse } from 'yaml';
import { type JudgeTask, parseJudgeTask } from './config.ts';
import { readEvaluation } from './data.ts';
import { badConfiguration, EXIT, Failure } from './failure.ts';
import { makeReport } from './report.ts';
import { reportMarkdown } from './report-markdown.ts';
import { REAL_CLOCK } from './run/clock.ts';
import { type CostEstimate, estimateCost } from './run/estimate.ts';
import { evaluate, prepare } from './run/evaluate.ts';
import { Progress, progressLine } from './run/progress.ts';
import { stopSignal } from './stop.ts';
import { openStorage, readPlace, writePlace } from './storage.ts';
import { writeViewer } from './viewer/write.ts';

interface Files {
  readonly json?: string | undefined;
  readonly markdown?: string | undefined;
}

export async function report(reviews: string, { json, markdown }: Files): Promise<void> {
  const made = makeReport(await readEvaluation(reviews));
  if (json !== undefined) await writeJson(json, made);
  if (markdown !== undefined) await writePlace(markdown, reportMarkdown(made));
  if (json === undefined && markdown === undefined) console.log(reportMarkdown(made));
}

export async function viewer(data: string, out: string): Promise<void> {
  const evaluation = await readEvaluation(data);
  const storage = await openStorage(out);
  await writeViewer(evaluation, makeReport(evaluation), (path, content) => storage.write(path, content));
  console.log(`Open ${storage.uri}/index.html`);
}

export async function estimate(config: string, { json }: Files): Promise<void> {
  const task = await readTask(config);
  const { questions, answers } = await prepare(task);
  const found = estimateCost(task, questions, answers);
  if (json !== undefined) await writeJson(json, found);
  console.log(estimateText(found));
}

export async function run(config: string, { json }: Files): Promise<void> {
  const task = await readTask(config);
  const signal = stopSignal();
  try {
    const { result, report: made } = await evaluate(task, {
      env: process.env,
      clock: REAL_CLOCK,
      random: Math.random,
      signal,
      progress: new Progress(REAL_CLOCK, [progressLine(REAL_CLOCK, process.stderr)]),
      onNotice: (sentence) => console.error(sentence),
      onEstimate: (found) => console.error(estimateText(found)),
    });
    if (json !== undefined) await writeJson(json, result);
    console.log(reportMarkdown(made));
    console.log(`Cost: ${dollars(result.cost.total)}. Report: ${result.report}\nViewer: ${result.viewer}`);
    if (result.state === 'budgetReached')
      throw new Failure(
        EXIT.other,
        `The budget of ${dollars(task.budget ?? null)} is used up: ${result.reviews.done} of ${result.reviews.total} reviews are there. ` +
          'Raise it and run again; what is there is not paid for again.',
      );
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new Failure(EXIT.terminated, 'Stopped. What is done is kept: run again to go on.');
  }
}

async function readTask(place: string): Promise<JudgeTask> {
  const content = (await readPlace(place)).toString('utf8');
  try {
    return parseJudgeTask(parse(content)); // JSON is YAML, too
  } catch (error) {
    throw badConfiguration(`${place}: ${(error as Error).message.trimEnd()}`);
  }
}

const dollars = (amount: number | null) => (amount === null ? 'unknown, no price is given' : `$${amount.toFixed(2)}`);

function estimateText({ answers, judge, total }: CostEstimate): string {
  const one = (name: string, { requests, tokens }: CostEstimate['judge']) =>
    requests === 0 ? [] : [`${name}: ${requests} requests, about ${tokens.input + tokens.output} tokens`];
  const cost =
    total.about === null ? 'Cost unknown: a price is missing.' : `About ${dollars(total.about)}, at most ${dollars(total.atMost)}.`;
  return [...one('Answers', answers), ...one('Judge', judge), cost].join('\n');
}

const writeJson = (place: string, value: object) => writePlace(place, `${JSON.stringify(value, null, 2)}\n`);
