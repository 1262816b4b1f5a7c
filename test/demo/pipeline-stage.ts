import type { V1EndpointSlice, V1Secret, V1Service } from '@kubernetes/client-node';
import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { KubeClient } from '../../operator/kube/client.ts';
import { ENDPOINT_SLICE, SECRET, SERVICE } from '../../operator/kube/types.ts';
import { FakeEndpoint } from '../../workloads/judge/testing/fake-endpoint.ts';
import { judgeByLength } from '../../workloads/judge/testing/scripted-judge.ts';
import { mountMachinePackages } from '../cluster/machine-packages.ts';
import type { NodeSpec } from '../cluster/node-profiles.ts';
import { DEMO_POOLS, NAMESPACE } from './stage.ts';

const cpu = { cloud: 'aws', region: 'us-east-1', zone: 'us-east-1c', instanceType: 'm7i.2xlarge', capacity: 'spot', gpus: 0 } as const;

/** For datasets, releases, evaluations and the gateway: they need no GPU. */
export const CPU_NODES: readonly NodeSpec[] = [
  { ...cpu, name: 'aws-cpu-1' },
  { ...cpu, name: 'aws-cpu-2' },
];

export const PIPELINE_POOLS: readonly GpuPool[] = [
  ...DEMO_POOLS,
  {
    metadata: { name: 'aws-us-east-1c-cpu' },
    spec: {
      cloud: 'aws',
      region: 'us-east-1',
      zone: 'us-east-1c',
      instanceType: 'm7i.2xlarge',
      capacity: 'spot',
      accelerator: { count: 0, type: 'none', resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '0.4032', spot: '0.1613' },
      nodeSelector: { 'topology.kubernetes.io/zone': 'us-east-1c', 'karpenter.sh/capacity-type': 'spot' },
      notice: '120s',
    },
  },
];

const API_KEY = 'a-key-of-the-judge';

/**
 * What examples/pipeline needs besides the inputs in S3: a judge. It is a process of this machine behind a Service of the cluster, and
 * prefers the longer answer; the baseline that it also plays says little.
 */
export async function startJudge(client: KubeClient, address: string, delayMs = 200): Promise<FakeEndpoint> {
  const endpoint = await FakeEndpoint.start({
    host: address,
    delayMs,
    models: ['judge', 'baseline'],
    apiKey: API_KEY,
    answer: (asked) => (asked.model === 'judge' ? judgeByLength(asked) : 'I do not know.'),
  });
  const secret: V1Secret = { metadata: { name: 'judge', namespace: NAMESPACE }, stringData: { token: API_KEY } };
  const service: V1Service = {
    metadata: { name: 'judge', namespace: NAMESPACE },
    spec: { ports: [{ port: 80, targetPort: endpoint.port }] },
  };
  const slice: V1EndpointSlice = {
    metadata: { name: 'judge', namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': 'judge' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [{ port: endpoint.port, protocol: 'TCP', name: '' }],
  };
  await client.create(SECRET, secret);
  await client.create(SERVICE, service);
  await client.create(ENDPOINT_SLICE, slice);
  await mountMachinePackages(client);
  return endpoint;
}
