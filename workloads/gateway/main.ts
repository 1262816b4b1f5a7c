// Reads the configuration, wires the parts and starts them; nothing else.

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { V1EndpointSlice } from '@kubernetes/client-node';
import pino from 'pino';
import type { GatewayConfig } from '../../operator/api/gateway-config.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { Informer } from '../../operator/kube/informer.ts';
import { ENDPOINT_SLICE } from '../../operator/kube/types.ts';
import { followConfigMap, followFile } from './configuration.ts';
import { Demand } from './demand.ts';
import { workersOf } from './endpoint-workers.ts';
import { Registration } from './fastchat/registration.ts';
import { Gateway } from './gateway.ts';
import { pageHandler } from './page.ts';
import { createPrivateServer } from './private-server.ts';
import { Pulse, TICK_MS } from './pulse.ts';
import { createGatewayServer } from './server.ts';

const { env } = process;
const log = pino({ level: env.VICUNA_LOG_LEVEL ?? 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime });
const now = () => Date.now();
const stop = new AbortController();
/** Workers are followed until the last answer is finished: it may have to go on at another one. */
const end = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(new Error(signal)));
/** Mounted Secrets change without a word. */
const KEYS_MS = 10_000;

let gateway: Gateway | null = null;
let demand: Demand | null = null;
let relist: () => void = () => undefined;
const onProblem = (error: Error) => log.warn({ err: error }, 'following the configuration');
const onConfig = (config: GatewayConfig) => {
  if (gateway === null) {
    gateway = new Gateway(config, {
      now,
      random: Math.random,
      onDemand: ({ demandLease }) => demandLease !== undefined && demand?.renew(demandLease, now()),
      onWorkerFailed: (error) => log.warn({ worker: error.worker.spec.name, reason: error.message }, 'a worker failed'),
    });
  } else gateway.configure(config);
  relist();
};

let client: KubeClient | null = null;
try {
  if (env.VICUNA_GATEWAY_CONFIG !== undefined) followFile(env.VICUNA_GATEWAY_CONFIG, { onConfig, onProblem });
  else {
    const { VICUNA_CONFIG_MAP: name, VICUNA_NAMESPACE: namespace = 'default' } = env;
    if (name === undefined) throw new Error('set VICUNA_GATEWAY_CONFIG to a file, or VICUNA_CONFIG_MAP to the name of a ConfigMap');
    client = await KubeClient.fromKubeconfig(env.VICUNA_KUBECONFIG);
    demand = new Demand(client, namespace, (error) => log.warn({ err: error }, 'renewing a demand lease'));
    await followConfigMap(client, namespace, name, { onConfig, onProblem }, end.signal);
  }
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
const ready = gateway as Gateway | null;
if (ready === null) throw new Error('no configuration');

let slices: Informer<V1EndpointSlice> | null = null;
const { serving } = ready.config;
if (client !== null && serving !== undefined) {
  const [namespace = '', name = ''] = serving.split('/');
  const found = new Informer<V1EndpointSlice>({
    client,
    type: ENDPOINT_SLICE,
    namespace,
    labelSelector: `vicuna.run/serving=${name},vicuna.run/model`,
    onFault: ({ kind, error }) => log.warn({ kind, err: error }, 'following workers; trying again'),
  });
  slices = found;
  relist = () => ready.registry.set('cluster', workersOf(found.list(), ready.config.models));
  found.onChange(relist);
  found.start(end.signal);
}

const registration = new Registration(ready, now);
const page = join(import.meta.dirname, 'page');
const server = createGatewayServer({
  gateway: ready,
  log,
  now,
  handlers: [registration.handler, ...(existsSync(page) ? [pageHandler(page, () => ready.config.page)] : [])],
});
const notReady = () => {
  if (stop.signal.aborted) return 'shutting down';
  return slices !== null && !slices.hasSynced() ? 'waiting for the first list of workers' : null;
};
const privateServer = createPrivateServer(ready.metrics, notReady);
const reload = setInterval(() => {
  registration.sweep();
  try {
    ready.keys.load(ready.config.apiKeys?.directory ?? null, ready.config.copies);
  } catch (error) {
    onProblem(error as Error);
  }
}, KEYS_MS);
const pulse = new Pulse(() => ready.registry.living());
const pulses = setInterval(() => void pulse.tick(), TICK_MS);
const port = Number(env.VICUNA_PORT ?? 8080);
server.listen(port);
privateServer.listen(Number(env.VICUNA_PRIVATE_PORT ?? 9090));
await Promise.all([once(server, 'listening'), once(privateServer, 'listening')]);
log.info({ port }, 'serving');

if (!stop.signal.aborted) await once(stop.signal, 'abort');
// Answers under way are finished; whoever watches them longer than this process's grace period cuts them off.
clearInterval(reload);
log.info('shutting down: no new connections, running answers are finished');
const closed = once(server, 'close');
server.close();
server.closeIdleConnections();
const sweep = setInterval(() => server.closeIdleConnections(), 200);
await closed;
clearInterval(sweep);
clearInterval(pulses);
end.abort();
privateServer.close();
privateServer.closeAllConnections();
client?.close();
process.exit(0);
