import { describe, expect, it } from 'vitest';
import { cgroupPrefix } from './cgroups.ts';
import { gatewayAddress, NetworkInUse, nextIndex } from './network.ts';
import { nodeLabels, nodeTaints, noticeTaint } from './node-profiles.ts';

describe('networks of nodes', () => {
  it('come one after the other, so that addresses of a lost node rest', () => {
    expect(nextIndex(0, new Set())).toBe(1);
    expect(nextIndex(3, new Set([1, 3]))).toBe(4);
    expect(gatewayAddress(4)).toBe('10.200.4.1');
  });

  it('begin again at the end, past those in use', () => {
    expect(nextIndex(254, new Set([1, 2]))).toBe(3);
  });

  it('run out with a sentence', () => {
    expect(() => nextIndex(7, new Set(Array.from({ length: 254 }, (_, i) => i + 1)))).toThrow('254 nodes already');
  });

  it('say who has the machine', () => {
    expect(new NetworkInUse('/cache/run/demo').message).toContain('in use by the cluster in /cache/run/demo');
    expect(new NetworkInUse('').message).toContain('ip link delete vcn0');
  });
});

it('cgroups of clusters in different directories never meet', () => {
  expect(cgroupPrefix('/a/run/demo')).toBe(cgroupPrefix('/a/run/demo'));
  expect(cgroupPrefix('/a/run/demo')).not.toBe(cgroupPrefix('/b/run/demo'));
});

describe('nodes look as their cloud makes them', () => {
  const aws = {
    name: 'n',
    cloud: 'aws',
    capacity: 'spot',
    region: 'us-east-1',
    zone: 'us-east-1a',
    instanceType: 'g5.xlarge',
    gpus: 1,
  } as const;
  const gcp = { ...aws, cloud: 'gcp', region: 'us-central1', zone: 'us-central1-a', instanceType: 'g2-standard-8' } as const;

  it('with labels of place, type and capacity', () => {
    expect(nodeLabels(aws)).toMatchObject({
      'topology.kubernetes.io/zone': 'us-east-1a',
      'node.kubernetes.io/instance-type': 'g5.xlarge',
      'karpenter.sh/capacity-type': 'spot',
    });
    expect(nodeLabels({ ...aws, capacity: 'onDemand' })).toMatchObject({ 'karpenter.sh/capacity-type': 'on-demand' });
    expect(nodeLabels(gcp)).toMatchObject({ 'cloud.google.com/gke-spot': 'true' });
    expect(nodeLabels({ ...gcp, capacity: 'onDemand' })).not.toHaveProperty('cloud.google.com/gke-spot');
  });

  it('with the taint of GPUs only where there are some', () => {
    expect(nodeTaints(aws)).toEqual([{ key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' }]);
    expect(nodeTaints({ ...aws, gpus: 0 })).toEqual([]);
  });

  it('and announce their end with the taint and the time that their cloud gives', () => {
    expect(noticeTaint(aws, 0)).toMatchObject({ taint: { key: 'aws-node-termination-handler/spot-itn' }, seconds: 120 });
    expect(noticeTaint(gcp, 0)).toMatchObject({ taint: { key: 'cloud.google.com/impending-node-termination' }, seconds: 30 });
    expect(noticeTaint(gcp, 0, 20)).toMatchObject({ taint: { key: 'cloud.google.com/impending-node-termination' }, seconds: 20 });
  });

  it('and name the deadline where less time is left than their cloud promises', () => {
    expect(noticeTaint(aws, 60_000, 20)).toMatchObject({ taint: { key: 'vicuna.run/interruption', value: '80' }, seconds: 20 });
  });
});
