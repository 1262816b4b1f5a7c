import { type Placement, place } from '../spot/placement.ts';
import type { PoolView } from '../spot/pool-view.ts';
import type { TaskDraft, Verdict } from './draft.ts';

/** A place that is not there is looked for again after so long. */
const LOOK_AGAIN_MS = 30_000;

export type Place =
  | { readonly found: true; readonly pool: PoolView | null; readonly verdict: Verdict }
  | { readonly found: false; readonly verdict: Verdict; readonly retryAt: number };

/**
 * Where the next pod goes: into one of the pools that the spec names, or else into one without accelerators; on any node where the spec
 * leaves it open and there is no such pool.
 */
export function choosePlace(d: TaskDraft): Place {
  const { pools: named, capacity } = d.state.placement;
  const pools = named === undefined ? d.state.pools.filter((p) => p.gpusPerNode === 0) : d.state.pools;
  if (named === undefined && capacity === 'auto' && pools.length === 0)
    return {
      found: true,
      pool: null,
      verdict: { status: 'True', reason: 'AnyNode', message: 'on any node: there is no pool of CPU nodes' },
    };
  const choice: Placement = place(
    {
      min: 1,
      max: 1,
      gpusPerWorker: 0,
      accelerator: null,
      capacity,
      deadline: null,
      maxPricePerHour: null,
      currentPool: d.run.pool ?? null,
      avoid: d.avoid,
      restartSeconds: 0,
    },
    pools,
    d.now,
  );
  if (choice.pool === null) {
    const { reason, message, retryAt } = choice;
    return { found: false, verdict: { status: 'False', reason, message }, retryAt: retryAt ?? d.now + LOOK_AGAIN_MS };
  }
  return { found: true, pool: choice.pool, verdict: { status: 'True', reason: 'Placed', message: choice.message } };
}
