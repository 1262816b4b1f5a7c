import type { V1Lease, V1PodDisruptionBudget, V1Service } from '@kubernetes/client-node';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { SERVING_LABEL } from '../pods/labels.ts';
import {
  COMPONENT_LABEL,
  demandLeaseName,
  ENGINE_PORT,
  HOLDS_PREFIX,
  MODEL_LABEL,
  modelObjectName,
  modelPortName,
  TRACK_LABEL,
  type Track,
} from './names.ts';
import { metadataOf } from './owner.ts';
import { replicaLabels } from './replica-deployment.ts';

/** Service of a model's track: its EndpointSlices, which carry its labels, are where gateways find replicas. */
export function trackService(serving: VicunaServing, model: string, track: Track): V1Service {
  const labels = { [MODEL_LABEL]: model, [TRACK_LABEL]: track };
  const isShared = serving.spec.multiplexing !== undefined;
  const { [MODEL_LABEL]: _, ...ofAnyGroup } = replicaLabels(serving, model, track);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(serving, modelObjectName(serving.metadata.name ?? '', model, track), labels),
    spec: {
      clusterIP: 'None',
      selector: isShared ? { ...ofAnyGroup, [HOLDS_PREFIX + model]: 'true' } : replicaLabels(serving, model, track),
      ports: [{ name: 'http', port: ENGINE_PORT, targetPort: isShared ? modelPortName(model) : ENGINE_PORT }],
    },
  };
}

/**
 * Whoever drains nodes takes one replica of a model, or of a group of models, at a time, and waits until another answers in its place. A
 * pod may have only one budget.
 */
export function unitBudget(serving: VicunaServing, model: string): V1PodDisruptionBudget {
  const name = serving.metadata.name ?? '';
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: metadataOf(serving, modelObjectName(name, model), { [MODEL_LABEL]: model }),
    spec: {
      maxUnavailable: 1,
      selector: { matchLabels: { [SERVING_LABEL]: name, [COMPONENT_LABEL]: 'engine', [MODEL_LABEL]: model } },
      // A replica that does not answer yet may go at any time.
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    },
  };
}

/** The gateway renews it while requests wait for a model that has no replica. */
export function demandLease(serving: VicunaServing, model: string): V1Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: metadataOf(serving, demandLeaseName(serving.metadata.name ?? '', model), { [MODEL_LABEL]: model }),
  };
}
