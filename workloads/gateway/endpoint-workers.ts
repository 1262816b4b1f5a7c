import type { V1EndpointSlice } from '@kubernetes/client-node';
import type { ModelConfig } from '../../operator/api/gateway-config.ts';
import type { WorkerSpec } from './worker.ts';

const MODEL_LABEL = 'vicuna.run/model';
const TRACK_LABEL = 'vicuna.run/track';

/** The workers that a serving's EndpointSlices tell of: those that are ready, which also means that their nodes are not about to go. */
export function workersOf(slices: readonly V1EndpointSlice[], models: readonly ModelConfig[]): WorkerSpec[] {
  return slices.flatMap((slice) => {
    const labels = slice.metadata?.labels ?? {};
    const model = labels[MODEL_LABEL];
    const port = slice.ports?.find((p) => p.name === 'http')?.port;
    if (model === undefined || port === undefined) return [];
    const engine = models.find((m) => m.name === model)?.engine ?? 'custom';
    return (slice.endpoints ?? []).flatMap((endpoint) => {
      const [address] = endpoint.addresses;
      if (address === undefined || endpoint.conditions?.ready !== true) return [];
      const host = address.includes(':') ? `[${address}]` : address;
      return {
        name: endpoint.targetRef?.name ?? address,
        url: `http://${host}:${port}`,
        models: [model],
        track: labels[TRACK_LABEL] === 'canary' ? ('canary' as const) : ('stable' as const),
        protocol: 'openai' as const,
        engine,
        zone: endpoint.zone ?? null,
        keyFile: null,
      };
    });
  });
}
