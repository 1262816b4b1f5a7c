import { expect, it } from 'vitest';
import { OperatorMetrics } from '../server/metrics.ts';
import type { Plan } from './draft.ts';
import { TrainingMetrics } from './metrics.ts';
import type { TrainingState } from './state.ts';

it('a release that waits has its reason from the training’s condition Released, since it has none of its own', async () => {
  const metrics = new OperatorMetrics({ now: () => 0 });
  const conditions = [{ type: 'Released', status: 'False', reason: 'GateRefused' }];
  const plan = { status: { phase: 'Complete', release: { phase: 'Pending' }, conditions } } as unknown as Plan;
  new TrainingMetrics(metrics).update('team-a/run', plan, { training: {} } as TrainingState);
  expect(await metrics.registry.metrics()).toContain(
    'vicuna_task_pending{namespace="team-a",kind="Release",name="run",reason="GateRefused"} 1',
  );
});
