import { createHash } from 'node:crypto';
import type { V1EndpointSlice, V1Pod } from '@kubernetes/client-node';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { clusterOf } from '../clusters/located.ts';
import { CLUSTER_LABEL } from '../pods/labels.ts';
import { ENGINE_PORT, MODEL_LABEL, modelObjectName, ROUTABLE_GATE, TRACK_LABEL, type Track } from './names.ts';
import { metadataOf } from './owner.ts';

const MANAGED_SLICE = 'endpointslice.kubernetes.io/managed-by';
const SERVICE_OF_SLICE = 'kubernetes.io/service-name';
const MANAGER = 'vicuna-operator';
/** What one EndpointSlice holds. */
const MOST_ENDPOINTS = 1_000;

/**
 * EndpointSlices at home that tell gateways of a serving's replicas in other clusters, one for each model, track and cluster; those
 * without a replica say so, since routing must stop at once. Pods' addresses must be routable between the clusters. Pure.
 */
export function awaySlices(serving: VicunaServing, pods: readonly V1Pod[], clusters: readonly string[]): V1EndpointSlice[] {
  const tracks = serving.spec.models.flatMap((m): [string, Track][] => [
    [m.name, 'stable'],
    ...(m.canary ? [[m.name, 'canary'] as [string, Track]] : []),
  ]);
  return clusters.flatMap((cluster) =>
    tracks.map(([model, track]) =>
      slice(
        serving,
        cluster,
        model,
        track,
        pods.filter(
          (p) =>
            clusterOf(p) === cluster &&
            p.status?.podIP !== undefined &&
            p.metadata?.deletionTimestamp === undefined &&
            p.metadata?.labels?.[MODEL_LABEL] === model &&
            p.metadata.labels[TRACK_LABEL] === track,
        ),
      ),
    ),
  );
}

function slice(serving: VicunaServing, cluster: string, model: string, track: Track, pods: readonly V1Pod[]): V1EndpointSlice {
  const service = modelObjectName(serving.metadata.name ?? '', model, track);
  const suffix = createHash('sha256').update(cluster).digest('hex').slice(0, 8);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: metadataOf(serving, `${service}-${suffix}`, {
      [MODEL_LABEL]: model,
      [TRACK_LABEL]: track,
      [CLUSTER_LABEL]: cluster,
      [SERVICE_OF_SLICE]: service,
      [MANAGED_SLICE]: MANAGER,
    }),
    addressType: pods.some((p) => p.status?.podIP?.includes(':')) ? 'IPv6' : 'IPv4',
    ports: [{ name: 'http', port: ENGINE_PORT, protocol: 'TCP' }],
    endpoints: pods
      .toSorted((a, b) => ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1))
      .slice(0, MOST_ENDPOINTS)
      .map((p) => ({
        addresses: [p.status?.podIP ?? ''],
        // The gate is this operator's own word, and there before the kubelet has read it.
        conditions: { ready: is(p, 'Ready', 'True') && !is(p, ROUTABLE_GATE, 'False') },
        targetRef: { kind: 'Pod', name: p.metadata?.name ?? '', namespace: p.metadata?.namespace ?? '' },
        zone: cluster,
      })),
  };
}

function is(pod: V1Pod, type: string, status: 'True' | 'False'): boolean {
  return pod.status?.conditions?.some((c) => c.type === type && c.status === status) ?? false;
}
