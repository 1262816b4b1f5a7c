import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Credentials } from './credentials.ts';

/** Where the kubelet puts a pod's account. */
const ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The pod's own account, without @kubernetes/client-node and the process that reads for it: for small programs. The token is a file
 * that the kubelet renews.
 */
export function inClusterCredentials(env: NodeJS.ProcessEnv, directory = ACCOUNT_DIRECTORY): Credentials {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === undefined) throw new Error('KUBERNETES_SERVICE_HOST is not set: this program runs in a pod');
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: readFileSync(join(directory, 'ca.crt'), 'utf8'),
    rejectUnauthorized: true,
    tokenFile: join(directory, 'token'),
  };
}
