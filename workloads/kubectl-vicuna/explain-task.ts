import type { TaskObject, TaskRun } from '../../operator/api/task.ts';
import { age, clock, progressWords, since } from './format.ts';
import { conditions, type ExplainOptions, Page, retries } from './page.ts';
import { plain } from './terminal.ts';

// What the pages of datasets and evaluations have in common: each is one pod at a time, replaced when its node goes.

/** The page up to the conditions; `terms`: what it is to do, in a sentence. */
export function taskPage(kind: string, task: TaskObject, terms: string, options: ExplainOptions): Page {
  const { metadata, spec, status = {} } = task;
  const page = new Page(`${kind} ${metadata.namespace}/${metadata.name}: ${nowDoing(status)}`, options);
  page.head(HEADS[status.phase ?? 'Pending']);
  page.say(whyThere(task, options.now));
  page.say(plain(terms));
  page.say(plain(askedFor(spec)));
  conditions(page, status.conditions, options);
  return page;
}

const HEADS: Readonly<Record<NonNullable<TaskRun['phase']>, string>> = {
  Pending: 'What it waits for',
  Waiting: 'What it waits for',
  Starting: 'Why here, why now',
  Running: 'Why here, why now',
  Complete: 'How it ended',
  Failed: 'How it ended',
};

function nowDoing({ phase = 'Pending', pool, capacity, attempt, progress }: TaskRun): string {
  const hasPod = phase === 'Starting' || phase === 'Running';
  const where = hasPod ? `${pool === undefined ? '' : ` on ${pool} (${capacity})`}, attempt ${attempt}` : '';
  if (progress === undefined || phase === 'Complete') return `${phase}${where}`;
  const share = progress.total ? ` (${Math.floor((100 * progress.done) / progress.total)}%)` : '';
  const left = progress.eta && phase === 'Running' ? `, about ${progress.eta} left of this stage` : '';
  return `${phase}${where}, ${plain(progress.stage)}: ${progressWords(progress)}${share}${left}`;
}

/** Where it is and why, in one sentence: the conditions' own words, those first that hold it up. */
function whyThere({ status = {} }: TaskObject, now: number): string {
  const { phase, pod, startedAt, finishedAt, notBefore } = status;
  const said = (type: string) => plain(status.conditions?.find((c) => c.type === type)?.message ?? '');
  const placed = status.conditions?.find((c) => c.type === 'Placed');
  if (phase === undefined) return 'Nothing has been decided yet: the operator has not looked at it.';
  if (phase === 'Complete') {
    const took = startedAt && finishedAt ? `, ${age(Date.parse(finishedAt) - Date.parse(startedAt))} after its first pod ran` : '';
    return `Complete for ${since(finishedAt, now)}${took}.`;
  }
  if (phase === 'Failed') return `Given up ${since(finishedAt, now)} ago: ${said('Failed')}`;
  if (phase === 'Running') return `Pod ${pod} runs. Why there: ${said('Placed')}`;
  if (phase === 'Starting') return `Why there: ${said('Placed')}. Now: ${said('Running')}`;
  // What Placed says may be older than the pause.
  if (notBefore && Date.parse(notBefore) > now) {
    const at = Date.parse(notBefore);
    return `The next pod starts in ${age(at - now)}, at ${clock(at, now)}; the events say what became of the last one.`;
  }
  return placed?.status === 'False' ? said('Placed') : said('Running');
}

function askedFor({ placement, cpu, memory }: TaskObject['spec']): string {
  const labels = Object.entries(placement.pools?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const pools = labels.length > 0 ? `pools with ${labels.join(' and ')}` : 'any pool without accelerators, or any node where there is none';
  const parts = [
    pools,
    `capacity ${placement.capacity}`,
    ...(cpu === undefined ? [] : [`cpu ${cpu}`]),
    ...(memory === undefined ? [] : [`memory ${memory}`]),
  ];
  return `Asked for: ${parts.join(', ')}.`;
}

/** What has happened to its pods. */
export function mishaps(page: Page, status: TaskRun | undefined, now: number): void {
  const count = status?.totals?.interruptions ?? 0;
  page.head(`Interruptions: ${count}`);
  page.say(count === 0 ? 'None.' : 'Each time its pod went with a node or was told to stop, and another one goes on from what was done.');
  retries(page, status?.retries, now);
}
