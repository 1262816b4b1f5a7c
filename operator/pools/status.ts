import type { GpuPool, GpuPoolStatus } from '../api/gpu-pool.ts';
import type { Health } from '../clusters/health.ts';
import { type CapacityMemory, remainingLifeHours } from '../spot/capacity-memory.ts';
import type { PoolRoom } from './room.ts';

type Condition = NonNullable<GpuPoolStatus['conditions']>[number];

/**
 * A pool's whole status: what is in it now, and what was learnt of it, which outlives the operator there. `health` is that of its cluster;
 * null = the operator's own. Pure.
 */
export function poolStatus(pool: GpuPool, room: PoolRoom, memory: CapacityMemory, health: Health | null, now: number): GpuPoolStatus {
  const observedGeneration = pool.metadata.generation ?? 0;
  const { blockedUntil } = memory;
  const isBlocked = blockedUntil !== null && blockedUntil > now;
  const conditions: Condition[] = [];
  const add = (type: string, isTrue: boolean, reason: string, message: string) => {
    const status = isTrue ? 'True' : 'False';
    const before = pool.status?.conditions?.find((c) => c.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : new Date(now).toISOString();
    conditions.push({ type, status, reason, message, lastTransitionTime, observedGeneration });
  };
  if (health !== null)
    add('Reachable', health.reachable, health.reason, `cluster ${pool.spec.cluster?.kubeconfigSecret}: ${health.message}`);
  if (room.nodes > 0) add('Ready', true, 'NodesReady', `${room.nodes} nodes match spec.nodeSelector`);
  else if ((pool.spec.maxNodes ?? 0) > 0) add('Ready', true, 'MayGrow', 'no node yet; an autoscaler may add up to spec.maxNodes');
  else {
    const selector = Object.entries(pool.spec.nodeSelector)
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    add(
      'Ready',
      false,
      'NoNodes',
      `no node has the labels ${selector}: correct spec.nodeSelector, add nodes, or set maxNodes if some will come`,
    );
  }
  if (isBlocked) {
    const until = new Date(blockedUntil).toISOString();
    add(
      'CapacityAvailable',
      false,
      'LaunchesFail',
      `the last ${memory.failuresInARow} launches found no capacity; tried again when a node joins or at ${until}`,
    );
  } else add('CapacityAvailable', true, 'NotBlocked', 'new workers may be placed here');
  return {
    observedGeneration,
    nodes: room.nodes,
    gpus: { total: room.gpusTotal, free: room.gpusFree },
    interruptions: memory.interruptions,
    launches: { succeeded: memory.launched, failed: memory.noCapacity },
    estimatedLifeHours: Number(remainingLifeHours(memory).toFixed(2)),
    ...(isBlocked ? { blockedUntil: new Date(blockedUntil).toISOString() } : {}),
    memory: { ...memory },
    conditions,
  };
}
