import { SERVING, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import type { KubeClient } from '../../operator/kube/client.ts';
import { SERVICE } from '../../operator/kube/types.ts';
import { gatewayName } from '../../operator/serving/names.ts';
import { pythonSitePackages } from '../cluster/python.ts';
import { until } from '../cluster/run.ts';
import { INPUTS_SECRET, NAMESPACE } from '../demo/stage.ts';

/** Of the tiny model on a CPU that stands for a GPU. */
const PROFILE = { latencySeconds: 0.5, weightsMemory: '1Gi', workingMemory: '1Gi', requestsPerSecond: 0.1 };

export interface DemoServing {
  readonly name: string;
  readonly weights?: string;
  /** Names of models that share GPUs, all of the same weights, instead of one model with its own. */
  readonly shared?: readonly string[];
  readonly spec?: Record<string, unknown>;
}

/** A serving of the tiny model by our own engine. Heavy Python packages come from the machine by a read-only mount. */
export async function demoServing({ name, weights = 's3://models/tiny', shared, spec = {} }: DemoServing): Promise<VicunaServing> {
  const template = {
    spec: {
      containers: [
        {
          name: 'engine',
          imagePullPolicy: 'IfNotPresent',
          env: [{ name: 'OMP_NUM_THREADS', value: '1' }],
          volumeMounts: [{ name: 'site-packages', mountPath: '/opt/site-packages', readOnly: true }],
        },
      ],
      volumes: [{ name: 'site-packages', hostPath: { path: await pythonSitePackages(), type: 'Directory' } }],
    },
  };
  return {
    metadata: { name, namespace: NAMESPACE, labels: { 'app.kubernetes.io/part-of': 'vicuna-demo' } },
    spec: {
      ...(shared
        ? {
            models: shared.map((model) => ({ name: model, weights, engine: 'transformers', profile: PROFILE })),
            multiplexing: { maxGpus: 2, template },
          }
        : { models: [{ name: 'tiny', weights, engine: 'transformers', template }], replicas: { min: 2 } }),
      credentials: [{ name: INPUTS_SECRET }],
      // Every node of the embedded cluster is a GPU node.
      gateway: { template: { spec: { tolerations: [{ operator: 'Exists' }] } } },
      ...spec,
    },
  } as unknown as VicunaServing;
}

/** Resolves when the serving says that it is ready; rejects with its conditions when time is up. */
export async function untilReady(client: KubeClient, name: string, timeoutMs = 120_000): Promise<VicunaServing> {
  let found: VicunaServing | null = null;
  try {
    await until(`serving ${name} ready`, timeoutMs, async () => {
      found = await client.get(SERVING, NAMESPACE, name);
      return (
        found.status?.observedGeneration === found.metadata.generation &&
        (found.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false)
      );
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}: ${JSON.stringify((found as VicunaServing | null)?.status)}`);
  }
  return found as unknown as VicunaServing;
}

/** Address of the serving's gateway, as pods reach it; this machine reaches it, too. */
export async function gatewayUrl(client: KubeClient, name: string): Promise<string> {
  const service = await client.get(SERVICE, NAMESPACE, gatewayName(name));
  return `http://${service.spec?.clusterIP}`;
}
