// A process of its own that prints credentials as JSON and ends: see credentials.ts.
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import type { Credentials } from './credentials.ts';

const path = process.argv[2];
const config = new KubeConfig();
if (path === undefined) config.loadFromDefault();
else config.loadFromFile(path);
const cluster = config.getCurrentCluster();
if (cluster === null) throw new Error(`the kubeconfig ${path ?? ''} has no current cluster: set current-context`);

const options: RequestOptions = {};
await config.applyToHTTPSOptions(options);
const text = (value: unknown) => (value === undefined || value === null ? undefined : Buffer.from(value as string).toString());
const basic = options.auth ? `Basic ${Buffer.from(options.auth).toString('base64')}` : undefined;
const credentials: Credentials = {
  server: cluster.server,
  ca: text(options.ca),
  cert: text(options.cert),
  key: text(options.key),
  servername: options.servername,
  rejectUnauthorized: options.rejectUnauthorized !== false,
  proxy: cluster.proxyUrl,
  authorization: (options.headers as Record<string, string> | undefined)?.Authorization ?? basic,
  tokenFile: config.getCurrentUser()?.authProvider?.config?.tokenFile,
};
process.stdout.write(JSON.stringify(credentials));
