import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { startProblem } from './problems.ts';

const pod = (status: Partial<V1ContainerStatus>): V1Pod => ({
  status: { containerStatuses: [{ name: 'main', ready: false, restartCount: 3, image: '', imageID: '', ...status }] },
});
const crashes = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 40s restarting failed container' } };

describe('why a container does not start', () => {
  it('is what it said last, where it has said something', () => {
    const lastState = { terminated: { exitCode: 1, message: 'starting\nAPI key team: write 8 characters or more\n' } };
    expect(startProblem(pod({ state: crashes, lastState }), 'main')).toBe('CrashLoopBackOff: API key team: write 8 characters or more');
  });

  it('is else what the kubelet says', () => {
    expect(startProblem(pod({ state: crashes }), 'main')).toBe('CrashLoopBackOff: back-off 40s restarting failed container');
  });

  it('is what a container before it said that fails', () => {
    const words = { terminated: { exitCode: 66, message: 'The base is another model.\n' } };
    const before = { ...pod({ state: crashes, lastState: words }).status?.containerStatuses?.[0], name: 'first' } as V1ContainerStatus;
    const waiting = pod({ state: { waiting: { reason: 'PodInitializing' } } });
    waiting.status = { ...waiting.status, initContainerStatuses: [before] };
    expect(startProblem(waiting, 'main')).toBe('CrashLoopBackOff: The base is another model.');
  });

  it('is nothing while it only starts', () => {
    expect(startProblem(pod({ state: { waiting: { reason: 'ContainerCreating' } } }), 'main')).toBeNull();
    expect(startProblem(pod({ state: { running: {} } }), 'main')).toBeNull();
  });
});
