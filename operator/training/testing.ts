import type { Report } from '../api/protocol.ts';
import { type VicunaTraining, withDefaults } from '../api/vicuna-training.ts';
import type { Interruption } from '../signals/interruption.ts';
import type { PoolView } from '../spot/pool-view.ts';
import type { Plan } from './draft.ts';
import { planTraining } from './plan.ts';
import type { TrainingState, WorkerPod } from './state.ts';

export const START = Date.parse('2026-01-01T00:00:00Z');

/**
 * A cluster in miniature for tests of the plan: it keeps status, pods and reports as the real one would, and a test moves it by
 * saying what happens. `step()` plans and carries the plan out.
 */
export class World {
  now = START;
  training: VicunaTraining;
  readonly pods = new Map<string, WorkerPod>();
  readonly reports = new Map<string, { report: Report; receivedAt: number; stateSince: number }>();
  readonly events: string[] = [];
  pools: PoolView[];
  listeningSince = START - 3_600_000;
  problem: TrainingState['problem'] = null;
  podRefusal: string | null = null;
  dataset: TrainingState['dataset'] = null;
  release: TrainingState['release'] = null;
  last: Plan | null = null;
  deleted = false;

  constructor(spec: Record<string, unknown> = {}, pools: PoolView[] = [pool('aws-a'), pool('gcp-a')]) {
    this.pools = pools;
    this.training = withDefaults({
      apiVersion: 'vicuna.run/v1alpha1',
      kind: 'VicunaTraining',
      metadata: { name: 'demo', namespace: 'default', uid: 'u1', generation: 1 },
      spec: {
        model: { base: 's3://models/tiny' },
        dataset: { uri: 's3://data/conversations.jsonl' },
        workers: { min: 2, max: 2, gpusPerWorker: 1, image: 'vicuna/trainer:dev' },
        checkpoint: { storage: 's3://ckpt/demo', interval: '10steps', keep: 3 },
        ...spec,
      },
    } as unknown as VicunaTraining);
  }

  get status() {
    return this.training.status ?? {};
  }

  condition(type: string) {
    return this.status.conditions?.find((c) => c.type === type);
  }

  /** Plans once and does what the plan says; pods appear as Pending. */
  step(): Plan {
    const plan = planTraining(this.state(), this.now);
    this.last = plan;
    this.training = { ...this.training, status: structuredClone(plan.status) };
    for (const e of plan.events) this.events.push(e.reason);
    for (const planned of plan.create) {
      this.pods.set(planned.name, {
        ...planned,
        uid: `uid-${planned.name}`,
        node: null,
        address: null,
        phase: 'Pending',
        createdAt: this.now,
        terminating: false,
        unschedulable: null,
        startProblem: null,
        exitCode: null,
        interruption: null,
      });
    }
    for (const { name } of plan.remove) this.pods.delete(name);
    if (plan.finalizer === 'add') this.training.metadata.finalizers = ['vicuna.run/final-save'];
    if (plan.finalizer === 'remove') this.training.metadata.finalizers = [];
    this.deleted ||= plan.deleteTraining;
    return plan;
  }

  state(): TrainingState {
    return {
      training: this.training,
      pods: this.pods,
      reports: this.reports,
      pools: this.pools,
      dataset: this.dataset,
      release: this.release,
      problem: this.problem,
      podRefusal: this.podRefusal,
      listeningSince: this.listeningSince,
    };
  }

  set(name: string, change: Partial<WorkerPod>): void {
    const pod = this.pods.get(name);
    if (!pod) throw new Error(`no pod ${name}`);
    this.pods.set(name, { ...pod, ...change });
  }

  /** The kubelet has started the pods. */
  start(...names: string[]): void {
    for (const name of names) this.set(name, { phase: 'Running', node: `node-of-${name}`, address: `10.0.0.${this.pods.size}` });
  }

  report(pod: string, change: Partial<Report> = {}): void {
    const world = this.status.world;
    const rank = world?.members.find((m) => m.pod === pod)?.rank ?? 0;
    const report: Report = {
      generation: world?.generation ?? 0,
      rank,
      state: 'running',
      step: 0,
      totalSteps: 100,
      epoch: 0,
      loss: 5,
      tokensPerSecond: 100,
      ...change,
    };
    const before = this.reports.get(pod);
    const stateSince =
      before?.report.state === report.state && before.report.generation === report.generation ? before.stateSince : this.now;
    this.reports.set(pod, { report, receivedAt: this.now, stateSince });
  }

  /** Everything up to a training at `step`, with a checkpoint at `saved`. */
  running(step = 20, saved = 10): this {
    this.step();
    this.start(...this.pods.keys());
    this.step();
    for (const pod of this.pods.keys())
      this.report(pod, { step, resumedStep: 0, ...(saved > 0 ? { checkpoint: checkpointAt(saved, this.now) } : {}) });
    this.now += 1_000;
    this.step();
    return this;
  }

  /** Notice for the pod's node, `seconds` before it goes. */
  notice(pod: string, seconds: number): void {
    this.set(pod, { interruption: interruption({ pod, noticedAt: this.now, deadline: this.now + seconds * 1000 }) });
  }

  /** The pod's node is gone. */
  lose(pod: string): void {
    this.set(pod, { interruption: interruption({ pod, noticedAt: this.now, deadline: null, lost: true, source: 'node-absent' }) });
  }
}

export function interruption(change: Partial<Interruption>): Interruption {
  return {
    cause: 'spotPreemption',
    source: 'test',
    noticedAt: START,
    deadline: null,
    lost: false,
    advisory: false,
    message: 'node goes',
    ...change,
  } as Interruption;
}

export function checkpointAt(step: number, now: number, generation = 1): NonNullable<Report['checkpoint']> {
  return {
    step,
    uri: `s3://ckpt/demo/step-${String(step).padStart(8, '0')}-g${generation}`,
    bytes: 1000,
    savedAt: new Date(now).toISOString(),
    seconds: 0.5,
    stallSeconds: 0.1,
    generation,
  };
}

export function pool(name: string, change: Partial<PoolView> = {}): PoolView {
  return {
    name,
    cloud: name.split('-')[0] ?? name,
    accelerator: 'A100',
    capacity: 'spot',
    gpusPerNode: 1,
    gpuMemoryGiB: 80,
    price: { spot: 1, onDemand: 3 },
    freeSlots: 2,
    growableSlots: 0,
    blockedUntil: null,
    remainingLifeHours: null,
    seen: null,
    noticeSeconds: 30,
    egressPerGiB: 0,
    ...change,
  };
}
