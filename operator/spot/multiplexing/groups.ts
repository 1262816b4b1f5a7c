import type { GpuGroup } from './evaluate.ts';
import type { Parallelism } from './profile.ts';

/** GPUs that models may share: equal nodes. Groups do not span nodes. */
export interface GpuNodes {
  readonly nodes: number;
  readonly gpusPerNode: number;
  /** GiB of each GPU that models may take. */
  readonly memoryGiB: number;
}

/** A row of GPUs, counted through all nodes. */
export interface GpuRange {
  readonly from: number;
  readonly to: number;
}

/** Every pipeline × tensor whose product is a power of two and at most the GPUs of a node. */
export function parallelisms(gpusPerNode: number): Parallelism[] {
  const all: Parallelism[] = [];
  for (let size = 1; size <= gpusPerNode; size *= 2)
    for (let tensor = 1; tensor <= size; tensor *= 2) all.push({ pipeline: size / tensor, tensor });
  return all;
}

/** Groups of one kind, whole on their nodes; GPUs left over are groups of one. */
export function formGroups({ from, to }: GpuRange, gpusPerNode: number, { pipeline, tensor }: Parallelism): GpuGroup[] {
  const size = pipeline * tensor;
  const groups: GpuGroup[] = [];
  for (let gpu = from; gpu < to; ) {
    const firstGpu = gpu % gpusPerNode;
    const whole = firstGpu % size === 0 && firstGpu + size <= gpusPerNode && gpu + size <= to;
    const place = { node: Math.floor(gpu / gpusPerNode), firstGpu };
    groups.push(whole ? { ...place, pipeline, tensor } : { ...place, pipeline: 1, tensor: 1 });
    gpu += whole ? size : 1;
  }
  return groups;
}
