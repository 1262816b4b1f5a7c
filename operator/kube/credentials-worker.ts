// Runs in a thread of its own that ends when it has answered: see credentials.ts.
import type { RequestOptions } from 'node:https';
import { parentPort, workerData } from 'node:worker_threads';
import { KubeConfig } from '@kubernetes/client-node';
import type { Credentials } from './credentials.ts';

const { path } = workerData as { path: string | null };
const config = new KubeConfig();
if (path === null) config.loadFromDefault();
else config.loadFromFile(path);
const cluster = config.getCurrentCluster();
if (cluster === null) throw new Error(`the kubeconfig ${path ?? ''} has no current cluster: set current-context`);

const options: RequestOptions = {};
await config.applyToHTTPSOptions(options);
const text = (value: unknown) => (value === undefined || value === null ? undefined : Buffer.from(value as string).toString());
const credentials: Credentials = {
  server: cluster.server,
  ca: text(options.ca),
  cert: text(options.cert),
  key: text(options.key),
  authorization: (options.headers as Record<string, string> | undefined)?.Authorization,
  rejectUnauthorized: options.rejectUnauthorized !== false,
};
parentPort?.postMessage(credentials);
