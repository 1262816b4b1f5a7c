import type { VicunaTraining } from '../api/vicuna-training.ts';
import { isNotFound, type KubeClient } from '../kube/client.ts';
import type { KubeObject, ResourceType } from '../kube/types.ts';
import { TRAINING_LABEL } from '../pods/labels.ts';
import { ownerOf } from './pods.ts';

/** Kubernetes' own gang of pods: the scheduler places all of them or none. Alpha in 1.36, so not every cluster serves it. */
export interface PodGroup extends KubeObject {
  metadata: { name: string; namespace: string; labels: Record<string, string>; ownerReferences: object[] };
  spec: { schedulingPolicy: { gang: { minCount: number } } };
}

/** Newest first; the fields used here are the same in all. */
const VERSIONS = ['v1', 'v1beta1', 'v1alpha3', 'v1alpha2'];

/** The kind as this cluster serves it, or null where it does not. */
export async function servedPodGroups(client: Pick<KubeClient, 'list'>): Promise<ResourceType<PodGroup> | null> {
  for (const version of VERSIONS) {
    const type: ResourceType<PodGroup> = { group: 'scheduling.k8s.io', version, kind: 'PodGroup', plural: 'podgroups', namespaced: true };
    try {
      await client.list(type, { limit: 1 });
      return type;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return null;
}

/** The group of the `minCount` pods that a generation adds. */
export function podGroup(training: VicunaTraining, name: string, minCount: number): PodGroup {
  return {
    metadata: {
      name,
      namespace: training.metadata.namespace ?? 'default',
      labels: { 'app.kubernetes.io/managed-by': 'vicuna-operator', [TRAINING_LABEL]: training.metadata.name ?? '' },
      ownerReferences: [ownerOf(training)],
    },
    spec: { schedulingPolicy: { gang: { minCount } } },
  };
}
