import type { V1Lease, V1PodDisruptionBudget, V1Service } from '@kubernetes/client-node';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { SERVING_LABEL } from '../pods/labels.ts';
import { COMPONENT_LABEL, demandLeaseName, ENGINE_PORT, MODEL_LABEL, modelObjectName, TRACK_LABEL, type Track } from './names.ts';
import { metadataOf } from './owner.ts';
import { replicaLabels } from './replica-deployment.ts';

/** Service of a model's track: its EndpointSlices, which carry its labels, are where gateways find replicas. */
export function trackService(serving: VicunaServing, model: string, track: Track): V1Service {
  const labels = { [MODEL_LABEL]: model, [TRACK_LABEL]: track };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(serving, modelObjectName(serving.metadata.name ?? '', model, track), labels),
    spec: {
      clusterIP: 'None',
      selector: replicaLabels(serving, model, track),
      ports: [{ name: 'http', port: ENGINE_PORT, targetPort: ENGINE_PORT }],
    },
  };
}

/** Whoever drains nodes takes one replica of a model at a time, and waits until another answers in its place. */
export function modelBudget(serving: VicunaServing, model: string): V1PodDisruptionBudget {
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
