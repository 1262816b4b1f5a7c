import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { type GpuPool, poolWithDefaults } from '../api/gpu-pool.ts';
import { observeTaskPod } from './observe.ts';
import { type TaskPodRequest, taskPod } from './pods.ts';

const POOL = poolWithDefaults({
  metadata: { name: 'cpu-spot' },
  spec: {
    cloud: 'aws',
    capacity: 'spot',
    accelerator: { count: 0 },
    price: { onDemand: '1' },
    nodeSelector: { zone: 'a' },
    tolerations: [{ key: 'spot', operator: 'Exists' }],
  },
} as unknown as GpuPool);

function make(change: Partial<TaskPodRequest['program']> = {}, pool: GpuPool | null = POOL): V1Pod {
  return taskPod({
    planned: { name: 'chats-dataset-2', attempt: 2, pool: pool && 'cpu-spot' },
    namespace: 'team-a',
    label: ['vicuna.run/dataset', 'chats'],
    owner: { apiVersion: 'vicuna.run/v1alpha1', kind: 'VicunaDataset', name: 'chats', uid: 'u1', controller: true },
    pool,
    program: { image: 'data:1', config: { output: 'file:///x', price: '$(HOME)' }, uris: [], credentials: [], ...change },
    operatorUrl: 'http://operator',
  });
}
const container = (pod: V1Pod) => pod.spec?.containers[0];

describe('the pod of a task', () => {
  it('is told in one variable what to do, who it is and whom to tell, and no "$" in it is the kubelet’s', () => {
    const text = container(make())?.env?.find((e) => e.name === 'VICUNA_TASK')?.value ?? '';
    expect(text).not.toContain('$');
    expect(JSON.parse(text)).toEqual({
      name: 'team-a/chats-dataset-2',
      operatorUrl: 'http://operator',
      tokenFile: '/var/run/secrets/vicuna.run/token',
      config: { output: 'file:///x', price: '$(HOME)' },
    });
  });

  it('goes with its owner, ends by itself, and may do nothing but its work', () => {
    const { metadata, spec } = make();
    expect(metadata).toMatchObject({
      labels: { 'vicuna.run/dataset': 'chats', 'vicuna.run/attempt': '2', 'vicuna.run/pool': 'cpu-spot' },
      ownerReferences: [{ uid: 'u1' }],
    });
    expect(spec).toMatchObject({ restartPolicy: 'Never', automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } });
    expect(spec?.containers[0]?.securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false });
    expect(spec?.volumes?.[0]?.projected?.sources?.[0]?.serviceAccountToken).toMatchObject({ audience: 'vicuna.run' });
  });

  it('is bound to its pool’s nodes, or to none', () => {
    expect(make().spec).toMatchObject({ nodeSelector: { zone: 'a' }, tolerations: [{ key: 'nvidia.com/gpu' }, { key: 'spot' }] });
    const free = make({}, null);
    expect(free.spec?.nodeSelector).toBeUndefined();
    expect(free.spec?.tolerations).toBeUndefined();
    expect(free.metadata?.labels?.['vicuna.run/pool']).toBeUndefined();
  });

  it('mounts the claims that it reads and writes, and gets Secrets as environment', () => {
    const pod = make({ uris: ['pvc://data/x', 's3://a/b', 'pvc://data/y'], credentials: [{ name: 's3' }] });
    expect(pod.spec?.volumes?.filter((v) => v.persistentVolumeClaim)).toHaveLength(1);
    expect(container(pod)?.envFrom).toEqual([{ secretRef: { name: 's3' } }]);
  });

  it('stands on the user’s template', () => {
    const template = {
      metadata: { labels: { team: 'x' } },
      spec: {
        nodeSelector: { disk: 'fast' },
        containers: [
          { name: 'task', env: [{ name: 'A', value: 'b' }], resources: { requests: { cpu: '3' }, limits: { memory: '4Gi' } } },
          { name: 'sidecar', image: 's:1' },
        ],
      },
    };
    const pod = make({ template, cpu: 2, memory: '1Gi', image: undefined });
    expect(pod.metadata?.labels?.team).toBe('x');
    expect(pod.spec?.nodeSelector).toEqual({ disk: 'fast', zone: 'a' });
    expect(pod.spec?.containers.map((c) => c.name)).toEqual(['task', 'sidecar']);
    expect(container(pod)?.resources).toEqual({ requests: { cpu: '3', memory: '1Gi' }, limits: { memory: '4Gi' } });
    expect(container(pod)?.env?.at(-1)).toEqual({ name: 'A', value: 'b' });
  });
});

describe('a task’s pod, looked at', () => {
  const node = {
    metadata: { name: 'n1' },
    status: { allocatable: { cpu: '8', memory: '32Gi' }, conditions: [{ type: 'Ready', status: 'True' }] },
  } as unknown as V1Node;
  const running = (change: object = {}) => {
    const pod = make({ cpu: 2, memory: '16Gi' });
    return { ...pod, spec: { ...pod.spec, nodeName: 'n1' }, status: { phase: 'Running', ...change } } as V1Pod;
  };

  it('pays for the larger of its shares of its node; for all of it when it asks for nothing', () => {
    expect(observeTaskPod(running(), node, 0).share).toBe(0.5);
    const greedy = make();
    expect(observeTaskPod({ ...greedy, spec: { containers: [], nodeName: 'n1' } }, node, 0).share).toBe(1);
  });

  it('tells how it ended, and with what words', () => {
    const containerStatuses = [{ name: 'task', state: { terminated: { exitCode: 66, message: 'no such file' } } }];
    expect(observeTaskPod(running({ phase: 'Failed', containerStatuses }), node, 0)).toMatchObject({
      attempt: 2,
      pool: 'cpu-spot',
      phase: 'Failed',
      exitCode: 66,
      message: 'no such file',
      interruption: null,
    });
  });

  it('is lost with its node', () => {
    expect(observeTaskPod(running(), undefined, 0).interruption).toMatchObject({ lost: true });
  });
});
