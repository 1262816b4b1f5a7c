import { hostname, networkInterfaces } from 'node:os';

/** The operator's settings, from its environment. Each has a default that suits a pod in a cluster. */
export interface OperatorConfig {
  /** Kubeconfig; null = $KUBECONFIG, ~/.kube/config or the pod's account. */
  readonly kubeconfig: string | null;
  /** Port of the worker protocol. */
  readonly port: number;
  /** Port of metrics, which then are not served to workers; undefined = that of the worker protocol. */
  readonly metricsPort: number | undefined;
  /** Base URL under which worker pods and other copies reach this one. */
  readonly advertiseUrl: string;
  /** Namespace of the leader lease. */
  readonly namespace: string;
  readonly identity: string;
  readonly workers: number;
  readonly logLevel: string;
  /** The URL that worker pods are given; a Service that reaches any copy. Default: advertiseUrl. */
  readonly workerUrl: string;
  /** Images of this project's own programs, for objects that name none. */
  readonly images: { readonly engine: string; readonly gateway: string; readonly data: string; readonly judge: string };
}

/** Where this version's images are. */
const IMAGES = 'ghcr.io/vicuna-operator';
export const VERSION = '0.1.0';

/** Reads the settings; throws one sentence per wrong value. */
export function readConfig(env: NodeJS.ProcessEnv): OperatorConfig {
  const port = integer(env, 'VICUNA_PORT', 8_080, 0, 65_535);
  const advertiseUrl = env.VICUNA_ADVERTISE_URL ?? `http://${env.POD_IP ?? firstAddress()}:${port}`;
  if (!/^https?:\/\/[^/]+$/.test(advertiseUrl))
    throw new Error(`VICUNA_ADVERTISE_URL "${advertiseUrl}" is no base URL: write it as http://host:port`);
  return {
    kubeconfig: env.VICUNA_KUBECONFIG ?? null,
    port,
    metricsPort: env.VICUNA_METRICS_PORT === undefined ? undefined : integer(env, 'VICUNA_METRICS_PORT', 0, 0, 65_535),
    advertiseUrl,
    workerUrl: env.VICUNA_WORKER_URL ?? advertiseUrl,
    images: {
      engine: env.VICUNA_ENGINE_IMAGE ?? `${IMAGES}/engine:${VERSION}`,
      gateway: env.VICUNA_GATEWAY_IMAGE ?? `${IMAGES}/gateway:${VERSION}`,
      data: env.VICUNA_DATA_IMAGE ?? `${IMAGES}/data:${VERSION}`,
      judge: env.VICUNA_JUDGE_IMAGE ?? `${IMAGES}/judge:${VERSION}`,
    },
    namespace: env.POD_NAMESPACE ?? 'vicuna-system',
    identity: `${env.POD_NAME ?? hostname()}_${process.pid}_${Date.now().toString(36)}`,
    workers: integer(env, 'VICUNA_WORKERS', 16, 1, 256),
    logLevel: env.VICUNA_LOG_LEVEL ?? 'info',
  };
}

function integer(env: NodeJS.ProcessEnv, name: string, byDefault: number, min: number, max: number): number {
  const text = env[name];
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`${name} "${text}" must be a whole number from ${min} to ${max}`);
  return value;
}

function firstAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find((a) => a.family === 'IPv4' && !a.internal)?.address ?? '127.0.0.1';
}
