import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { servingWithDefaults, type VicunaServing } from '../api/vicuna-serving.ts';
import { located } from '../clusters/located.ts';
import { awaySlices } from './away-slices.ts';

const serving = servingWithDefaults({
  metadata: { name: 'chat', namespace: 'ml', uid: 'u' },
  spec: { models: [{ name: 'tiny', weights: 's3://models/tiny', canary: { percent: 10, weights: 's3://models/next' } }] },
} as unknown as VicunaServing);

function replica(
  name: string,
  podIP: string | undefined,
  change: { track?: string; ready?: boolean; routable?: boolean; ending?: boolean } = {},
): V1Pod {
  return located('west', {
    metadata: {
      name,
      namespace: 'ml',
      labels: { 'vicuna.run/model': 'tiny', 'vicuna.run/track': change.track ?? 'stable' },
      ...(change.ending ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    status: {
      podIP,
      conditions: [
        { type: 'Ready', status: change.ready === false ? 'False' : 'True' },
        { type: 'vicuna.run/routable', status: change.routable === false ? 'False' : 'True' },
      ],
    },
  } as unknown as V1Pod);
}

describe('EndpointSlices of replicas in other clusters', () => {
  it('name those that there are by model and track, ready or not, as gateways look for them', () => {
    const pods = [replica('b', '10.1.0.2', { ready: false }), replica('a', '10.1.0.1'), replica('c', '10.1.0.3', { track: 'canary' })];
    const [stable, canary] = awaySlices(serving, pods, ['west']);
    expect(stable?.metadata).toMatchObject({
      namespace: 'ml',
      labels: {
        'vicuna.run/serving': 'chat',
        'vicuna.run/model': 'tiny',
        'vicuna.run/track': 'stable',
        'kubernetes.io/service-name': 'chat-tiny',
      },
      ownerReferences: [{ name: 'chat', uid: 'u' }],
    });
    expect(stable?.endpoints).toMatchObject([
      { addresses: ['10.1.0.1'], conditions: { ready: true }, targetRef: { name: 'a' } },
      { addresses: ['10.1.0.2'], conditions: { ready: false }, targetRef: { name: 'b' } },
    ]);
    expect(canary?.endpoints).toMatchObject([{ addresses: ['10.1.0.3'] }]);
  });

  it('are no longer ready from the moment that routing is stopped, before the kubelet there has heard of it', () => {
    const [slice] = awaySlices(serving, [replica('a', '10.1.0.1', { routable: false })], ['west']);
    expect(slice?.endpoints?.[0]?.conditions).toEqual({ ready: false });
  });

  it('leave out what ends, has no address, or is in the own cluster, whose slices Kubernetes makes', () => {
    const atHome = {
      ...replica('home', '10.0.0.1'),
      metadata: { name: 'home', labels: { 'vicuna.run/model': 'tiny', 'vicuna.run/track': 'stable' } },
    };
    const pods = [replica('new', undefined), replica('old', '10.1.0.4', { ending: true }), atHome];
    expect(awaySlices(serving, pods, ['west']).flatMap((s) => s.endpoints)).toEqual([]);
  });

  it('have a name for each cluster', () => {
    const names = awaySlices(serving, [], ['west', 'east']).map((s) => s.metadata?.name);
    expect(new Set(names).size).toBe(4);
    expect(awaySlices(serving, [], [])).toEqual([]);
  });
});
