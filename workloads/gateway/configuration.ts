import { readFileSync, watchFile } from 'node:fs';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { type GatewayConfig, parseGatewayConfig } from '../../operator/api/gateway-config.ts';
import type { KubeClient } from '../../operator/kube/client.ts';
import { Informer } from '../../operator/kube/informer.ts';
import { CONFIG_MAP } from '../../operator/kube/types.ts';

/** Key of the ConfigMap that holds the configuration. */
const KEY = 'config.json';
const LOOK_MS = 2_000;

export interface Follower {
  readonly onConfig: (config: GatewayConfig) => void;
  /** A later configuration that is of no use is told, and the one before stays. */
  readonly onProblem: (error: Error) => void;
}

/** Reads the configuration from a file, and again when it changes. Throws when the first one is of no use. */
export function followFile(path: string, { onConfig, onProblem }: Follower): void {
  onConfig(parseGatewayConfig(readFileSync(path, 'utf8')));
  watchFile(path, { interval: LOOK_MS, persistent: false }, () => {
    try {
      onConfig(parseGatewayConfig(readFileSync(path, 'utf8')));
    } catch (error) {
      onProblem(error as Error);
    }
  });
}

/** Follows a ConfigMap. Resolves with the first configuration; rejects when that is of no use. */
export async function followConfigMap(
  client: KubeClient,
  namespace: string,
  name: string,
  { onConfig, onProblem }: Follower,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const informer = new Informer<V1ConfigMap>({
    client,
    type: CONFIG_MAP,
    namespace,
    fieldSelector: `metadata.name=${name}`,
    onFault: ({ error }) => onProblem(error as Error),
  });
  informer.onChange(({ type, object }) => {
    if (type === 'deleted') return; // the gateway goes with it, in its own time
    try {
      onConfig(parseGatewayConfig(object.data?.[KEY] ?? ''));
      resolve();
    } catch (error) {
      reject(error as Error);
      onProblem(error as Error);
    }
  });
  informer.start(signal);
  await promise;
}
