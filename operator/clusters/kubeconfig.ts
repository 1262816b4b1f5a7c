import { parse } from 'yaml';
import type { Credentials } from '../kube/credentials.ts';

/** More is no kubeconfig of one cluster. */
const MOST_BYTES = 64 * 1024;

interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly contexts?: readonly { readonly name?: string; readonly context?: { readonly cluster?: string; readonly user?: string } }[];
  readonly clusters?: readonly { readonly name?: string; readonly cluster?: Readonly<Record<string, unknown>> }[];
  readonly users?: readonly { readonly name?: string; readonly user?: Readonly<Record<string, unknown>> }[];
}

/** What a kubeconfig may say that would have the operator run a program or read its own files for whoever can write a Secret. */
const REFUSED: Readonly<Record<string, string>> = {
  exec: 'runs a program',
  'auth-provider': 'runs a program',
  tokenFile: 'names a file',
  'client-certificate': 'names a file',
  'client-key': 'names a file',
  'certificate-authority': 'names a file',
};

/**
 * The credentials in a remote cluster's kubeconfig, all of which must be in the text itself: a token or a client certificate. Throws one
 * sentence that never quotes it.
 */
export function credentialsOf(text: string): Credentials {
  if (Buffer.byteLength(text) > MOST_BYTES) throw new Error(`the kubeconfig is larger than ${MOST_BYTES / 1024} KiB`);
  const config = parsed(text);
  const context = named(config.contexts, config['current-context'] ?? config.contexts?.[0]?.name)?.context;
  const cluster = named(config.clusters, context?.cluster)?.cluster;
  const user = named(config.users, context?.user)?.user;
  if (!context || !cluster || !user) throw new Error('the kubeconfig has no current context with a cluster and a user');
  for (const key of Object.keys({ ...cluster, ...user })) {
    const why = REFUSED[key];
    if (why) throw new Error(`the kubeconfig's "${key}" ${why}, which is refused: give a token, or the data of a client certificate`);
  }
  const server = string(cluster.server) ?? '';
  if (!/^https:\/\/[^\s]+$/.test(server)) throw new Error('the kubeconfig names no server: write it as https://host:port');
  const token = string(user.token);
  const cert = decoded(user['client-certificate-data']);
  const key = decoded(user['client-key-data']);
  if (token === undefined && (cert === undefined || key === undefined))
    throw new Error('the kubeconfig holds neither a token nor a client certificate with its key');
  return {
    server,
    ca: decoded(cluster['certificate-authority-data']),
    cert,
    key,
    servername: string(cluster['tls-server-name']),
    rejectUnauthorized: true,
    proxy: string(cluster['proxy-url']),
    authorization: token === undefined ? undefined : `Bearer ${token}`,
  };
}

function parsed(text: string): Kubeconfig {
  let value: unknown;
  try {
    // Aliases are nobody's way to write a kubeconfig, and a few of them are gigabytes.
    value = parse(text, { maxAliasCount: 0 });
  } catch {
    // The parser's words quote the text.
    throw new Error('the kubeconfig is no YAML');
  }
  if (typeof value !== 'object' || value === null) throw new Error('the kubeconfig is empty');
  return value as Kubeconfig;
}

function named<T extends { readonly name?: string }>(list: readonly T[] | undefined, name: string | undefined): T | undefined {
  return Array.isArray(list) ? list.find((one) => one?.name === name) : undefined;
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function decoded(value: unknown): string | undefined {
  const text = string(value);
  return text === undefined ? undefined : Buffer.from(text, 'base64').toString('utf8');
}
