// A process of its own that prints credentials as JSON and ends: see credentials.ts.
import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { delimiter, dirname, join, resolve } from 'node:path';
import { findHomeDir, KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import type { Credentials } from './credentials.ts';

const path = process.argv[2] || undefined;
const context = process.argv[3] || undefined;
const ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';
if (path === undefined && defaultFiles().length === 0 && !existsSync(ACCOUNT_TOKEN))
  throw new Error('there is none: set KUBECONFIG to a file, or put one at ~/.kube/config');
const config = new KubeConfig();
if (path === undefined) config.loadFromDefault();
else config.loadFromFile(path);
if (context !== undefined) {
  if (config.getContextObject(context) === null) throw new Error(`there is no context "${context}" in it`);
  config.setCurrentContext(context);
}
const cluster = config.getCurrentCluster();
if (cluster === null) throw new Error(`the kubeconfig ${path ?? ''} has no current cluster: set current-context`);

/**
 * The user's `tokenFile`, relative to the file that names it. client-node looks for `token-file`, which is nobody's spelling, and
 * would let such a user in as anonymous. As in kubectl, the first of several files that knows the user counts.
 */
function tokenFileOf(user: string | undefined): string | undefined {
  for (const file of path === undefined ? defaultFiles() : [path]) {
    const users: { name?: string; user?: { tokenFile?: string } }[] = parse(readFileSync(file, 'utf8'))?.users ?? [];
    const found = users.find(({ name }) => name === user);
    if (found) return found.user?.tokenFile && resolve(dirname(file), found.user.tokenFile);
  }
  return undefined;
}

function defaultFiles(): string[] {
  const named = process.env.KUBECONFIG?.split(delimiter).filter((file) => file !== '') ?? [];
  return (named.length > 0 ? named : [join(findHomeDir() ?? '', '.kube', 'config')]).filter((file) => existsSync(file));
}

const user = config.getCurrentUser();
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
  impersonate: user?.impersonateUser ?? undefined,
  tokenFile: user?.authProvider?.config?.tokenFile ?? tokenFileOf(user?.name),
  namespace: config.getContextObject(config.getCurrentContext())?.namespace,
};
process.stdout.write(JSON.stringify(credentials));
