import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { locatedPod } from '../clusters/located.ts';
import { observePod } from './observe.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const running = locatedPod('west', {
  metadata: { name: 'run-g1-0', uid: 'p1' },
  spec: { nodeName: 'n1', containers: [] },
  status: { phase: 'Running', podIP: '10.0.0.1' },
} as V1Pod);
const node = { metadata: { name: 'west/n1' } };

describe('a worker in another cluster', () => {
  it('is on a node that cannot be mistaken for one at home', () => {
    expect(observePod(running, node, NOW)).toMatchObject({ node: 'west/n1', interruption: null });
  });

  it('is lost when its cluster has been given up, whatever the cache still says of it', () => {
    const { interruption } = observePod(running, node, NOW, NOW - 60_000);
    expect(interruption).toMatchObject({ cause: 'clusterLost', lost: true, noticedAt: NOW - 60_000, node: 'west/n1' });
    expect(interruption?.message).toMatch(/cluster west cannot be reached/);
  });
});
