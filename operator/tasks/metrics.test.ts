import { expect, it } from 'vitest';
import type { TaskStatus } from '../api/task.ts';
import { OperatorMetrics } from '../server/metrics.ts';
import { TaskMetrics } from './metrics.ts';

const condition = (type: string, reason: string) => ({
  type,
  status: 'False' as const,
  reason,
  message: '',
  lastTransitionTime: '',
  observedGeneration: 1,
});

async function pendingFor(...update: Parameters<TaskMetrics['update']>): Promise<string[]> {
  const metrics = new OperatorMetrics({ now: () => 0 });
  new TaskMetrics(metrics).update(...update);
  const text = await metrics.registry.metrics();
  return [...text.matchAll(/^vicuna_task_pending\{.*reason="(\w+)"\} 1$/gm)].map(([, reason = '']) => reason);
}

it('a task that is Pending tells what is missing by its condition Placed', async () => {
  const conditions = [condition('Running', 'Waiting'), condition('Placed', 'MissingSecret')];
  const status: TaskStatus = { phase: 'Pending', conditions };
  expect(await pendingFor('VicunaDataset', 'a/b', status)).toEqual(['MissingSecret']);
  expect(await pendingFor('VicunaDataset', 'a/b', { ...status, phase: 'Waiting' })).toEqual([]);
});
