import type { TaskReport } from '../api/protocol.ts';
import type { TaskRun, TaskSpec } from '../api/task.ts';
import type { Interruption } from '../signals/interruption.ts';
import type { PoolView } from '../spot/pool-view.ts';
import type { Ending, TaskPlan } from './draft.ts';
import { planTask } from './plan.ts';
import type { Problem, TaskPod } from './state.ts';

export const START = Date.parse('2026-01-01T00:00:00Z');

/** A cluster in miniature for tests of the plan of tasks; `step()` plans and carries the plan out. */
export class TaskWorld {
  now = START;
  run: TaskRun = {};
  readonly pods = new Map<string, TaskPod>();
  readonly reports = new Map<string, TaskReport>();
  readonly events: string[] = [];
  readonly messages: string[] = [];
  problem: Problem | null = null;
  podRefusal: string | null = null;
  ending: Ending | null = null;
  placement: TaskSpec['placement'];
  pools: PoolView[];

  constructor(pools: PoolView[] = [cpuPool('spot-a'), cpuPool('spot-b')], placement: TaskSpec['placement'] = { capacity: 'auto' }) {
    this.pools = pools;
    this.placement = placement;
  }

  /** Plans; the status is written as the plan has it, and then what it asks for is done. A pod appears as Pending. */
  step({ crash = false }: { crash?: boolean } = {}): TaskPlan {
    const plan = this.plan();
    this.run = structuredClone(plan.run);
    if (plan.ending) this.ending = plan.ending;
    if (crash) return plan;
    if (plan.create && !this.pods.has(plan.create.name)) this.pods.set(plan.create.name, taskPod(plan.create, this.now));
    for (const { name, gracePeriodSeconds } of plan.remove) {
      const pod = this.pods.get(name);
      const ended = pod?.phase === 'Failed' || pod?.phase === 'Succeeded';
      if (ended || gracePeriodSeconds === 0 || pod?.node === null) this.pods.delete(name);
      else this.set(name, { terminating: true });
    }
    for (const e of plan.events) {
      this.events.push(e.reason);
      this.messages.push(e.message);
    }
    return plan;
  }

  plan(): TaskPlan {
    const { run, pods, reports, pools, problem, podRefusal, placement } = this;
    return planTask({ name: 'chats-dataset', placement, run, pods, reports, pools, problem, podRefusal }, this.now);
  }

  set(name: string, change: Partial<TaskPod>): void {
    const pod = this.pods.get(name);
    if (!pod) throw new Error(`no pod ${name}`);
    this.pods.set(name, { ...pod, ...change });
  }

  /** The kubelet has started the pod. */
  start(name: string): void {
    this.set(name, { phase: 'Running', node: `node-of-${name}` });
  }

  /** The program has ended. */
  end(name: string, exitCode: number, message = ''): void {
    this.set(name, { phase: exitCode === 0 ? 'Succeeded' : 'Failed', exitCode, message });
  }

  /** Up to a pod that runs. */
  running(): this {
    this.step();
    this.start(this.run.pod ?? '');
    this.step();
    return this;
  }

  notice(name: string, change: Partial<Interruption> = {}): void {
    this.set(name, {
      interruption: {
        cause: 'spotPreemption',
        source: 'test',
        noticedAt: this.now,
        deadline: this.now + 30_000,
        lost: false,
        advisory: false,
        message: `node of ${name} is taken back`,
        ...change,
      } as Interruption,
    });
  }
}

function taskPod({ name, attempt, pool }: { name: string; attempt: number; pool: string | null }, now: number): TaskPod {
  return {
    name,
    uid: `uid-${name}-${now}`,
    attempt,
    pool: pool ?? '',
    node: null,
    phase: 'Pending',
    createdAt: now,
    terminating: false,
    unschedulable: null,
    startProblem: null,
    exitCode: null,
    message: '',
    share: 1,
    interruption: null,
  };
}

export function cpuPool(name: string, change: Partial<PoolView> = {}): PoolView {
  return {
    name,
    cloud: 'aws',
    accelerator: 'none',
    capacity: 'spot',
    gpusPerNode: 0,
    gpuMemoryGiB: null,
    price: { spot: 1, onDemand: 3 },
    freeSlots: 16,
    growableSlots: 0,
    blockedUntil: null,
    remainingLifeHours: null,
    seen: null,
    noticeSeconds: 30,
    egressPerGiB: 0,
    ...change,
  };
}
