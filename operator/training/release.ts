import { z } from 'zod';
import type { VicunaEvaluation } from '../api/vicuna-evaluation.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import { workerUri } from '../pods/claims.ts';
import type { TaskPlan } from '../tasks/draft.ts';
import { planTask } from '../tasks/plan.ts';
import type { TaskProgram } from '../tasks/pods.ts';
import { readResult } from '../tasks/result.ts';
import type { Problem } from '../tasks/state.ts';
import { runOf } from '../tasks/status.ts';
import type { Draft } from './draft.ts';
import { CONTAINER } from './pods.ts';

type Release = NonNullable<VicunaTraining['spec']['release']>;

/** What the program says at its end (workloads/trainer/vicuna_trainer/release/task.py). */
const resultSchema = z.object({
  output: z.string().max(1_024),
  mode: z.string().max(63),
  bytes: z.number().min(0),
  changedElements: z.number().min(0),
  inexactElements: z.number().min(0),
  manifestSha256: z.string().max(64),
});

/** A complete training's release goes on beside whatever else is to be done. */
export function planRelease(d: Draft): void {
  const { release } = d.spec;
  if (release === undefined || !d.isTrue('Complete') || d.state.training.metadata.deletionTimestamp !== undefined) return;
  const { state } = d;
  if (state.release === null) {
    d.wake(d.now); // it became complete only in this very plan
    return;
  }
  const { phase } = d.status.release ?? {};
  const isOver = phase === 'Complete' || phase === 'Failed';
  const plan = planTask(
    {
      name: `${state.training.metadata.name}-release`,
      placement: release.placement,
      run: runOf(d.status.release),
      pods: state.release.pods,
      reports: state.release.reports,
      pools: state.release.pools,
      problem: phase === 'Running' || phase === 'Starting' || isOver ? null : gateProblem(release.gate, state.release.evaluation),
      podRefusal: state.podRefusal,
    },
    d.now,
  );
  d.status.release = { ...d.status.release, ...plan.run };
  for (const field of ['pod', 'pool', 'capacity', 'notBefore'] as const) if (plan.run[field] === undefined) delete d.status.release[field];
  d.releasePod = plan.create;
  for (const removal of plan.remove) d.remove.set(removal.name, removal);
  d.events.push(...plan.events);
  d.observations.push(...plan.observations);
  if (plan.wakeAt !== null) d.wake(plan.wakeAt);
  if (isOver) return;
  // What is to be released is not to be deleted before.
  d.deleteTraining = false;
  conclude(d, release, plan);
}

function conclude(d: Draft, release: Release, plan: TaskPlan): void {
  const { ending } = plan;
  if (ending === null) {
    const { placed, running } = plan;
    if (placed?.status === 'False') d.condition('Released', 'False', waitingReason(placed.reason), placed.message);
    else if (running) d.condition('Released', 'False', 'Releasing', running.message);
    return;
  }
  const result = 'result' in ending ? readResult(ending.result, resultSchema) : { value: null, problem: ending };
  if (result.value === null || !d.status.release) {
    if (d.status.release) d.status.release.phase = 'Failed';
    const message = result.problem?.message ?? '';
    d.condition('Released', 'False', 'ReleaseFailed', message);
    d.event('Warning', 'ReleaseFailed', message);
    return;
  }
  const { output: _, ...figures } = result.value;
  const { base, output } = releasePlaces(d.state.training, release);
  Object.assign(d.status.release, { uri: output, base, ...figures });
  const message = `delta to ${base} at ${output} (${figures.mode}, ${figures.bytes} bytes)`;
  d.condition('Released', 'True', 'Released', message);
  d.event('Normal', 'Released', message);
  d.wake(d.now);
}

const GATE_REASONS: ReadonlySet<string> = new Set(['MissingEvaluation', 'EvaluationNotReady', 'GateRefused']);

/** The gate's own reasons are told as they are; those of placement are in the message. */
function waitingReason(reason: string): string {
  return GATE_REASONS.has(reason) ? reason : 'Waiting';
}

/** Why the gate does not let the release pass, in one sentence, or null. */
export function gateProblem(gate: Release['gate'], evaluation: VicunaEvaluation | null): Problem | null {
  if (gate === undefined) return null;
  const subject = `spec.release.gate: VicunaEvaluation "${gate.evaluation}"`;
  const notReady = (words: string) => ({ reason: 'EvaluationNotReady', message: `${subject} ${words}` });
  if (evaluation === null)
    return {
      reason: 'MissingEvaluation',
      message: `${subject} does not exist: create it, and the release goes on by itself when it is complete`,
    };
  const { phase, progress, comparisons = [], conditions } = evaluation.status ?? {};
  if (phase === 'Failed')
    return notReady(`has failed (${conditions?.find((c) => c.type === 'Failed')?.message ?? ''}): mend it and create it again`);
  if (phase !== 'Complete') return notReady(`is not complete${progress ? `: ${progress.stage} ${progress.display} ${progress.unit}` : ''}`);
  const measured = comparisons.filter((c) => gate.baseline === undefined || c.baseline === gate.baseline);
  const refused = (words: string) => ({ reason: 'GateRefused', message: `${subject} ${words}; change the gate, or train anew` });
  const bounds = [
    ['relativeQuality', gate.minRelativeQuality],
    ['winRate', gate.minWinRate],
  ] as const;
  if (measured.length === 0 && (gate.baseline !== undefined || bounds.some(([, least]) => least !== undefined)))
    return refused(gate.baseline === undefined ? 'compares with no baseline' : `does not compare with baseline "${gate.baseline}"`);
  for (const comparison of measured) {
    for (const [figure, least] of bounds) {
      if (least === undefined) continue;
      const value = comparison[figure];
      if (value === undefined) return refused(`has no ${figure} against ${comparison.baseline}, and the gate asks for ${least}`);
      if (value < least)
        return refused(`found a ${figure} of ${value.toFixed(3)} against ${comparison.baseline}, and the gate asks for ${least}`);
    }
  }
  return null;
}

/** What the delta is to, whose delta it is, and where it goes. */
export function releasePlaces({ spec }: VicunaTraining, { delta }: Release): { base: string; target: string; output: string } {
  const storage = spec.checkpoint.storage.replace(/\/+$/, '');
  return { base: delta.base ?? spec.model.base, target: `${storage}/model`, output: delta.output ?? `${storage}/delta` };
}

/** How the release runs: the worker's image with its template, but for what is there for GPUs and for other containers. */
export function releaseProgram(training: VicunaTraining, release: Release): TaskProgram {
  const { workers, credentials } = training.spec;
  const places = releasePlaces(training, release);
  const template = structuredClone(workers.template ?? {}) as {
    spec?: { containers?: { name: string; resources?: object; args?: string[] }[] };
  };
  const own = template.spec?.containers?.find((c) => c.name === CONTAINER);
  if (own) {
    delete own.resources;
    delete own.args;
  }
  if (template.spec?.containers) template.spec.containers = own ? [own] : [];
  const { base, target, output } = places;
  const { mode, vocabulary } = release.delta;
  return {
    image: workers.image,
    command: ['python3', '-m', 'vicuna_trainer.release'],
    config: { base: workerUri(base), target: workerUri(target), output: workerUri(output), mode, vocabulary },
    uris: Object.values(places),
    cpu: release.cpu,
    memory: release.memory,
    credentials,
    template,
    templateContainer: CONTAINER,
  };
}
