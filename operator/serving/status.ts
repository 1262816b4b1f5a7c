import type { ModelStatus, ServedModel, VicunaServingStatus } from '../api/vicuna-serving.ts';
import { SERVING_LABEL } from '../pods/labels.ts';
import { replicaPrices } from '../spot/fleet.ts';
import { accrue, formatDollars, type Ledger, parseDollars, savedShare } from '../spot/ledger.ts';
import { gpusOf } from '../spot/multiplexing/regroup.ts';
import type { ServingDraft } from './draft.ts';
import { COMPONENT_LABEL, gatewayName } from './names.ts';
import { type GroupsState, type Replica, unitsOf } from './state.ts';

type Condition = NonNullable<VicunaServingStatus['conditions']>[number];

/** The status that follows from the plan; it also announces what has changed against the one before. */
export function settleStatus(d: ServingDraft): VicunaServingStatus {
  const { serving } = d.state;
  const before = serving.status ?? {};
  const { name = '', namespace = 'default' } = serving.metadata;
  const models = serving.spec.models.map((m) => modelStatus(d, m));
  for (const model of models)
    announce(
      d,
      model,
      before.models?.find((m) => m.name === model.name),
    );
  const ready = models.reduce((sum, m) => sum + Math.min(m.ready, m.desired), 0);
  const desired = models.reduce((sum, m) => sum + m.desired, 0);
  const status: VicunaServingStatus = {
    ...before,
    observedGeneration: serving.metadata.generation ?? 0,
    replicas: d.state.replicas.filter((r) => !r.ending).length,
    selector: `${SERVING_LABEL}=${name},${COMPONENT_LABEL}=engine`,
    ready: `${ready}/${desired}`,
    modelNames: models.map((m) => m.name).join(', '),
    url: `http://${gatewayName(name)}.${namespace}.svc`,
    models,
  };
  delete status.multiplexing;
  if (d.state.groups !== null) status.multiplexing = multiplexingStatus(d, d.state.groups);
  accrueCosts(d, status);
  const conditions: Pick<Condition, 'type' | 'status' | 'reason' | 'message'>[] = [
    readyCondition(d, models),
    placedCondition(d),
    { type: 'MetricsAvailable', ...d.state.metrics },
    limitedCondition(d),
  ];
  status.conditions = conditions.map((c) => {
    const old = before.conditions?.find((b) => b.type === c.type);
    return {
      ...c,
      lastTransitionTime: old?.status === c.status ? old.lastTransitionTime : isoTime(d.now),
      observedGeneration: serving.metadata.generation ?? 0,
    };
  });
  return status;
}

function modelStatus(d: ServingDraft, model: ServedModel): ModelStatus {
  const units = unitsOf(d.state).filter((u) => u.models.includes(model.name));
  const desired = units.reduce((sum, u) => sum + (d.state.scale.get(u.name)?.replicas ?? 0), 0);
  const decision = d.state.scale.get(units[0]?.name ?? '');
  const own = d.state.replicas.filter((r) => r.models.includes(model.name) && !r.ending);
  const answering = own.filter((r) => r.readyAt !== null && r.interruption === null);
  const capacity = new Map(d.state.poolsFor(model.gpus).map((p) => [p.name, p.capacity]));
  const spotReady = answering.filter((r) => capacity.get(r.pool) === 'spot').length;
  const targets = d.deployments.filter((p) => units.some((u) => u.name === p.model) && p.replicas > 0);
  const pools: Record<string, number> = {};
  for (const { pool, replicas } of targets) pools[pool] = (pools[pool] ?? 0) + replicas;
  const firstTokenP99 = d.state.firstTokenP99.get(model.name);
  const old = d.state.serving.status?.models?.find((m) => m.name === model.name);
  const startSeconds = (d.starts.get(model.name) ?? []).reduce<number | undefined>(
    // Half of what is known is the newest: images and weights change, single starts are odd.
    (known, seconds) => (known === undefined ? seconds : (known + seconds) / 2),
    old?.startSeconds,
  );
  return {
    name: model.name,
    desired: d.state.serving.spec.suspend ? 0 : desired,
    target: targets.reduce((sum, t) => sum + t.replicas, 0),
    ready: answering.length,
    spotReady,
    onDemandReady: answering.length - spotReady,
    leaving: own.filter((r) => r.interruption !== null).length,
    ...(decision?.queue === null || decision === undefined ? {} : { queue: decision.queue }),
    ...(firstTokenP99 === undefined ? {} : { ttftP99: Number(firstTokenP99.toFixed(3)) }),
    ...(startSeconds === undefined ? {} : { startSeconds: Number(startSeconds.toFixed(1)) }),
    pools,
    ...(decision ? { reason: decision.reason } : {}),
  };
}

function multiplexingStatus(
  d: ServingDraft,
  { groups, attainment, changedAt, reason }: GroupsState,
): NonNullable<VicunaServingStatus['multiplexing']> {
  const before = d.state.serving.status?.multiplexing;
  const list = groups.map(({ name, models, pipeline, tensor, replicas }) => ({ name, models: [...models], pipeline, tensor, replicas }));
  const gpus = gpusOf({ groups });
  if (before === undefined || JSON.stringify(list) !== JSON.stringify(before.groups)) {
    const words = list.map((g) => `${g.replicas} × ${g.pipeline * g.tensor} GPU for ${g.models.join(' + ')}`).join('; ');
    if (list.length > 0) d.event('Normal', 'Regrouped', `${words}: ${reason}`);
    return { groups: list, gpus, attainment: rounded(attainment), changedAt: isoTime(changedAt), reason: reason.slice(0, 1_024) };
  }
  // A share that moves by less than a percent is no news.
  const isNews = Math.abs(before.attainment - attainment) >= 0.01;
  return { ...before, gpus, ...(isNews ? { attainment: rounded(attainment), reason: reason.slice(0, 1_024) } : {}) };
}

function rounded(share: number): number {
  return Number(share.toFixed(4));
}

function announce(d: ServingDraft, model: ModelStatus, before: ModelStatus | undefined): void {
  const from = before?.desired ?? 0;
  if (model.desired !== from) {
    const reason = model.desired > from ? 'ScaledUp' : 'ScaledDown';
    d.event('Normal', reason, `${model.name}: ${from} → ${model.desired} replicas: ${model.reason ?? 'as the spec says'}`);
  }
  const mix = d.fleets.get(model.name)?.[0]?.message;
  if (mix !== undefined && Object.keys(model.pools ?? {}).length > 0 && !samePools(model.pools, before?.pools))
    d.event('Normal', 'Mixed', `${model.name}: ${mix}`);
}

function samePools(a: Readonly<Record<string, number>> = {}, b: Readonly<Record<string, number>> = {}): boolean {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((pool) => a[pool] === b[pool]);
}

function accrueCosts(d: ServingDraft, status: VicunaServingStatus): void {
  const before = status.totals;
  const since = status.accruedUntil === undefined ? undefined : Date.parse(status.accruedUntil);
  const holding = d.state.replicas.filter((r) => r.node !== null);
  const interruptions = (before?.interruptions ?? 0) + d.struck.length;
  const seconds = since === undefined ? 0 : Math.max(0, (d.now - since) / 1000);
  let ledger: Ledger = {
    gpuHours: before?.gpuHours ?? 0,
    costMicros: parseDollars(before?.cost),
    onDemandMicros: parseDollars(before?.onDemandCost),
  };
  for (const replica of holding) ledger = accrue(ledger, { seconds, ...rates(d, replica) });
  const saved = savedShare(ledger);
  status.accruedUntil = isoTime(d.now);
  status.totals = {
    interruptions,
    cost: formatDollars(ledger.costMicros),
    onDemandCost: formatDollars(ledger.onDemandMicros),
    saved: formatDollars(Math.max(0, ledger.onDemandMicros - ledger.costMicros)),
    ...(saved === null ? {} : { savedPercent: `${Math.round(saved * 100)}%` }),
    gpuHours: Number(ledger.gpuHours.toFixed(6)),
  };
}

function rates(d: ServingDraft, replica: Replica): { gpus: number; pricePerHour: number; onDemandPerHour: number } {
  const { gpus } = replica;
  const pool = d.state.poolsFor(gpus).find((p) => p.name === replica.pool);
  return { gpus, ...(pool ? replicaPrices(pool, gpus) : { pricePerHour: 0, onDemandPerHour: 0 }) };
}

function readyCondition(d: ServingDraft, models: readonly ModelStatus[]) {
  const type = 'Ready';
  if (d.state.serving.spec.suspend) return { type, status: 'False', reason: 'Suspended', message: 'spec.suspend is true' } as const;
  if (d.state.refusal !== null) return { type, status: 'False', reason: 'Refused', message: d.state.refusal } as const;
  if (d.state.missing !== null) return { type, status: 'False', reason: 'MissingSecret', message: d.state.missing } as const;
  const short = models.filter((m) => m.ready < m.desired);
  if (short.length > 0) {
    const message = short.map((m) => `${m.name} has ${m.ready} of ${m.desired} replicas${waitsFor(d, m.name)}`).join('; ');
    return { type, status: 'False', reason: 'Starting', message } as const;
  }
  if (!d.state.gateways.some((g) => g.ready))
    return {
      type,
      status: 'False',
      reason: 'GatewayStarting',
      message: `no copy of the gateway is ready yet${gatewayProblem(d)}`,
    } as const;
  const message = models.map((m) => `${m.name}: ${m.ready} ${m.ready === 1 ? 'replica answers' : 'replicas answer'}`).join(', ');
  return { type, status: 'True', reason: 'AllReady', message } as const;
}

function gatewayProblem(d: ServingDraft): string {
  const stuck = d.state.gateways.find((g) => g.startProblem !== null);
  return stuck ? ` (${stuck.name}: ${stuck.startProblem})` : '';
}

function waitsFor(d: ServingDraft, model: string): string {
  const own = d.state.replicas.filter((r) => r.models.includes(model) && !r.ending && r.readyAt === null);
  const problem = own.find((r) => r.startProblem !== null);
  if (problem) return ` (${problem.name}: ${problem.startProblem})`;
  const homeless = own.find((r) => r.unschedulable !== null);
  if (homeless) return ` (${homeless.name}: ${homeless.unschedulable})`;
  return own.length === 0 ? '' : `, ${own.length} starting`;
}

function placedCondition(d: ServingDraft) {
  const problem = d.state.groups?.problem ?? null;
  if (problem !== null) return { type: 'Placed', status: 'False', reason: 'NoPlan', message: problem } as const;
  const fleets = [...d.fleets].flatMap(([model, list]) => list.map((fleet) => ({ model, fleet })));
  const short = fleets.filter(({ fleet }) => fleet.missing > 0);
  if (short.length > 0) {
    const message = short.map(({ model, fleet }) => `${model}: ${fleet.message}`).join('; ');
    return { type: 'Placed', status: 'False', reason: short[0]?.fleet.reason ?? 'NoCapacity', message } as const;
  }
  const message = [...d.fleets].map(([model, [stable]]) => `${model}: ${stable?.message ?? ''}`).join('; ');
  return { type: 'Placed', status: 'True', reason: 'Placed', message } as const;
}

function limitedCondition(d: ServingDraft) {
  const REASONS = { max: 'TooManyReplicas', min: 'TooFewReplicas', rate: 'RateLimited' } as const;
  const limited = [...d.state.scale].filter(([, s]) => s.limitedBy !== null);
  const first = limited[0]?.[1].limitedBy;
  const type = 'ScalingLimited';
  if (!first) return { type, status: 'False', reason: 'WithinLimits', message: 'no limit holds the number of replicas' } as const;
  return {
    type,
    status: 'True',
    reason: REASONS[first],
    message: limited.map(([model, s]) => `${model}: ${s.reason}`).join('; '),
  } as const;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
