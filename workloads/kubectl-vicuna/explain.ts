import { GPU_POOL, type GpuPool, poolWithDefaults } from '../../operator/api/gpu-pool.ts';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { SERVING, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import type { KubeObject, ResourceType } from '../../operator/kube/types.ts';
import type { Command } from './command.ts';
import { eventLines } from './events.ts';
import { explainDataset } from './explain-dataset.ts';
import { explainEvaluation } from './explain-evaluation.ts';
import { poolMix } from './fleet.ts';
import { age, bytes, clock, counted, money, percent, since } from './format.ts';
import { KINDS, type ObjectKind, objectNamed } from './kinds.ts';
import { conditions, costs, type ExplainOptions, Page, retries } from './page.ts';
import type { Session } from './session.ts';
import { type Paint, plain, table } from './terminal.ts';

/** Why it runs where it runs, or does not, and what has happened to it. Pure. */
export function explainTraining(training: VicunaTraining, options: ExplainOptions): string[] {
  const { now, paint } = options;
  const { metadata, spec, status = {} } = training;
  const page = new Page(`VicunaTraining ${metadata.namespace}/${metadata.name}: ${nowDoing(training)}`, options);

  page.head(status.world || status.next ? 'Why here, why now' : 'Why nowhere');
  const decision = status.placement;
  if (!decision) page.say('No place has been chosen yet; the conditions below say what it waits for.');
  else {
    page.say(`Decided ${clock(Date.parse(decision.decidedAt), now)} (${since(decision.decidedAt, now)} ago): ${plain(decision.message)}`);
    page.lines.push(...alternativesTable(decision.alternatives, paint));
  }
  if (status.next) page.say(`Forming: ${forming(status.next, now)}`);
  page.say(terms(training));

  conditions(page, status.conditions, options);

  page.head('Checkpoints');
  const { checkpoint, world } = status;
  if (!checkpoint) page.say('None is committed yet: an interruption without notice would start it from the beginning.');
  else
    page.say(
      `Step ${checkpoint.step}, saved ${since(checkpoint.savedAt, now)} ago by generation ${checkpoint.generation}${checkpoint.seconds === undefined ? '' : ` in ${checkpoint.seconds.toFixed(1)} s`}, ${bytes(checkpoint.bytes)}: ${checkpoint.uri}`,
    );
  if (world) page.say(`Saved every ${intervalWords(world.checkpointInterval)} (spec.checkpoint.interval: ${spec.checkpoint.interval}).`);

  page.head(`Interruptions: ${status.totals?.interruptions ?? 0}`);
  const records = status.interruptions ?? [];
  if (records.length === 0) page.say('None.');
  for (const record of records) {
    const { what, legs } = interruptionWords(record, now);
    page.say(what);
    page.say(legs, '    ');
  }

  retries(page, status.retries, now);
  costs(page, status.totals, spec.placement.budget);
  return page.lines;
}

/** What a decision was weighed against. */
export function alternativesTable(
  alternatives: NonNullable<NonNullable<VicunaTraining['status']>['placement']>['alternatives'],
  paint: Paint,
): string[] {
  const [header = '', ...rows] = table(
    ['POOL', 'CAPACITY', '$/H', 'WITH LOSSES $/H', 'LASTS', 'VERDICT'],
    alternatives.map((a) => [
      a.verdict === 'chosen' ? paint.green(a.pool) : a.pool,
      a.capacity,
      a.pricePerHour,
      a.effectivePricePerHour ?? '-',
      a.lastsHours === undefined ? '-' : `${a.lastsHours}h`,
      plain(a.verdict),
    ]),
    '  ',
  );
  return [paint.dim(header), ...rows];
}

function nowDoing({ status }: VicunaTraining): string {
  const { phase = 'Pending', world, progress } = status ?? {};
  const where = world
    ? ` on ${world.pool} (${world.capacity}), generation ${world.generation}, ${counted(world.members.length, 'worker')}`
    : '';
  const step = progress ? `, step ${progress.display}` : '';
  const share = progress && progress.totalSteps > 0 ? ` (${Math.floor((100 * progress.step) / progress.totalSteps)}%)` : '';
  const left = progress?.eta && phase === 'Running' ? `, about ${progress.eta} left` : '';
  return `${phase}${where}${step}${share}${left}`;
}

const WHY_NEXT: Readonly<Record<string, string>> = {
  start: 'it starts',
  interruption: 'a worker is going or gone',
  error: 'its program failed',
  restart: 'its workers have stopped',
  grow: 'there is room for more workers',
  move: 'it is better off there',
};

function forming(next: NonNullable<NonNullable<VicunaTraining['status']>['next']>, now: number): string {
  const wait = next.notBefore && Date.parse(next.notBefore) > now ? `, not before ${clock(Date.parse(next.notBefore), now)}` : '';
  return `generation ${next.generation} with ${counted(next.members.length, 'worker')} on ${next.pool}, because ${WHY_NEXT[next.reason] ?? next.reason}, for ${since(next.since, now)}${wait}.`;
}

function terms({ spec }: VicunaTraining): string {
  const { placement, workers } = spec;
  const parts = [
    `${workers.min === workers.max ? workers.min : `${workers.min} to ${workers.max}`} workers of ${counted(workers.gpusPerWorker, 'GPU')}`,
    `capacity ${placement.capacity}`,
    ...(placement.accelerator ? [`accelerator ${placement.accelerator}`] : []),
    ...(placement.deadline ? [`deadline ${placement.deadline}`] : []),
    ...(placement.maxPricePerHour ? [`at most ${money(placement.maxPricePerHour)} an hour`] : []),
    ...(placement.budget ? [`budget ${money(placement.budget)}`] : []),
  ];
  return `Asked for: ${parts.join(', ')}.`;
}

function intervalWords(interval: object): string {
  const { seconds, steps } = interval as { seconds?: number; steps?: number };
  return steps === undefined ? age((seconds ?? 0) * 1_000) : counted(steps, 'step');
}

type Interruption = NonNullable<NonNullable<VicunaTraining['status']>['interruptions']>[number];

/** One interruption: what went, and each leg with its time since the notice. */
export function interruptionWords(record: Interruption, now: number): { what: string; legs: string } {
  const noticedAt = Date.parse(record.noticedAt);
  const after = (time: string) => `+${((Date.parse(time) - noticedAt) / 1_000).toFixed(1)} s`;
  const what = record.node ? `node ${record.node} of ${record.pool}` : `${record.pods.join(', ')} on ${record.pool}`;
  const notice = record.deadline ? `${after(record.deadline).slice(1)} of notice` : record.notice ? 'announced' : 'without notice';
  const legs: string[] = [];
  if (record.checkpointAckedAt) {
    const spare = record.deadline ? (Date.parse(record.deadline) - Date.parse(record.checkpointAckedAt)) / 1_000 : null;
    const margin = spare === null ? '' : spare >= 0 ? `, ${spare.toFixed(1)} s before the deadline` : `, ${(-spare).toFixed(1)} s late`;
    legs.push(`${after(record.checkpointAckedAt)} step ${record.checkpointStep} saved${margin}`);
  } else if (record.notice) legs.push('nothing saved for it');
  legs.push(record.replacedAt ? `${after(record.replacedAt)} replaced` : 'not replaced yet');
  if (record.resumedAt) {
    const step = record.resumedStep === undefined ? '' : ` at step ${record.resumedStep}, ${counted(record.lostSteps ?? 0, 'step')} lost`;
    legs.push(`${after(record.resumedAt)} resumed${step}`);
  } else if (record.replacedAt) legs.push('not resumed yet');
  return { what: `${clock(noticedAt, now)} ${what}: ${record.cause}, ${notice}`, legs: legs.join(' · ') };
}

/** The mix of replicas, why there are so many, and what each model waits for. Pure. */
export function explainServing(serving: VicunaServing, options: ExplainOptions): string[] {
  const { metadata, spec, status = {} } = serving;
  const title = `VicunaServing ${metadata.namespace}/${metadata.name}: ${status.ready ?? '0/0'} replicas ready${status.url ? `, ${status.url}` : ''}`;
  const page = new Page(title, options);
  page.head('Models');
  if (!status.models?.length) page.say('The operator has not looked at it yet.');
  for (const model of status.models ?? []) {
    const spares = model.target - model.desired;
    page.say(
      `${model.name}: ${model.ready} of ${model.desired} ready (${model.spotReady} spot, ${model.onDemandReady} on-demand)${spares > 0 ? `, ${spares} more aimed at as spares or replacements` : ''}${model.leaving ? `, ${model.leaving} leaving` : ''}. Pools: ${poolMix(model.pools)}.`,
    );
    if (model.reason) page.say(`Why so many: ${plain(model.reason)}`, '    ');
    const measured = [
      ...(model.queue === undefined ? [] : [`queue ${model.queue}`]),
      ...(model.ttftP99 === undefined ? [] : [`first piece within ${model.ttftP99} s for 99 of 100`]),
      ...(model.startSeconds === undefined ? [] : [`a replica starts in ${model.startSeconds} s`]),
    ];
    if (measured.length > 0) page.say(`Measured: ${measured.join(', ')}.`, '    ');
  }
  const { multiplexing } = status;
  if (multiplexing) {
    page.head(`Who shares GPUs with whom: ${counted(multiplexing.gpus, 'GPU')}`);
    page.say(`${multiplexing.reason} (for ${since(multiplexing.changedAt, options.now)}, attainment ${percent(multiplexing.attainment)})`);
    page.table(
      ['GROUP', 'REPLICAS', 'GPUS EACH', 'MODELS'],
      multiplexing.groups.map((g) => [g.name, String(g.replicas), String(g.pipeline * g.tensor), g.models.join(', ')]),
    );
  }
  page.say(`Asked for: ${spec.replicas.min} to ${spec.replicas.max} replicas of each model.`);
  conditions(page, status.conditions, options);
  page.head(`Interruptions: ${status.totals?.interruptions ?? 0}`);
  costs(page, status.totals);
  return page.lines;
}

/** What the operator has learnt of a pool. Pure. */
export function explainPool(pool: GpuPool, options: ExplainOptions): string[] {
  const { now } = options;
  const { metadata, spec, status = {} } = pool;
  const accelerator = spec.accelerator.count === 0 ? 'CPU nodes' : `nodes with ${spec.accelerator.count}×${spec.accelerator.type}`;
  const place = [spec.cloud, spec.region, spec.zone].filter((p) => p !== undefined).join(' ');
  const page = new Page(`GpuPool ${metadata.name}: ${spec.capacity} ${accelerator} in ${place}`, options);
  page.head('Price');
  const { onDemand, spot } = spec.price;
  page.say(
    spot === undefined ? `${money(onDemand)} an hour for a node.` : `${money(spot)} an hour for a spot node, ${money(onDemand)} on demand.`,
  );
  page.say(`Notice before a node is taken back: ${spec.notice}.`);
  page.head('Room');
  page.say(
    `${counted(status.nodes ?? 0, 'node')}${spec.maxNodes === undefined ? '' : ` of at most ${spec.maxNodes}`}, ${status.gpus ? `${status.gpus.free} of ${status.gpus.total} GPUs free` : 'GPUs not counted yet'}.`,
  );
  page.head('Experience');
  const { launches, interruptions = 0, estimatedLifeHours, blockedUntil } = status;
  page.say(
    `${launches?.succeeded ?? 0} launches worked, ${launches?.failed ?? 0} found no capacity; ${counted(interruptions, 'interruption')}.`,
  );
  if (estimatedLifeHours !== undefined) page.say(`A node is expected to last ${estimatedLifeHours.toFixed(1)} h from now.`);
  if (blockedUntil !== undefined && Date.parse(blockedUntil) > now)
    page.say(`Nothing new is placed here until ${clock(Date.parse(blockedUntil), now)}.`);
  conditions(page, status.conditions, options);
  return page.lines;
}

/** The pages, each with what was said of its object as it happened. */
function reader(session: Session, name: string, options: ExplainOptions): Readonly<Record<ObjectKind, () => Promise<string[]>>> {
  const page = async <T extends KubeObject>(type: ResourceType<T>, explained: (object: T, options: ExplainOptions) => string[]) => {
    const object = await session.get(type, type.namespaced ? session.namespace : undefined, name);
    return [...explained(object, options), ...eventLines(await session.eventsOf(object), options)];
  };
  return {
    training: () => page(TRAINING, explainTraining),
    serving: () => page(SERVING, explainServing),
    dataset: () => page(DATASET, explainDataset),
    evaluation: () => page(EVALUATION, explainEvaluation),
    pool: () => page(GPU_POOL, (pool) => explainPool(poolWithDefaults(pool), options)),
  };
}

export const explain: Command = {
  name: 'explain',
  usage: 'KIND/NAME [-n NAMESPACE]',
  summary: 'Why a training, serving, dataset, evaluation or pool is as it is, what it waits for, and what has happened to it',
  help: [`KIND is ${KINDS.map(({ names: [short], type }) => `${short} (${type.kind})`).join(', ')}.`],
  options: {},
  completes: 'object',
  async run({ session, screen, paint, now }, positionals) {
    const { kind, name } = objectNamed(positionals);
    const options = { now: now(), paint, columns: Math.min(screen.columns, 140) };
    for (const line of await reader(session, name, options)[kind]()) screen.write(`${line}\n`);
    return 0;
  },
};
