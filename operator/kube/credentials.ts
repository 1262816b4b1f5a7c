import { Worker } from 'node:worker_threads';

/** How to reach an API server and prove who we are. */
export interface Credentials {
  readonly server: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Value of the Authorization header; may expire. */
  readonly authorization: string | undefined;
  readonly rejectUnauthorized: boolean;
}

/**
 * Reads a kubeconfig (or the in-cluster account) with @kubernetes/client-node, which knows every way of authentication there is:
 * files, exec plugins, OIDC. Importing it costs 80 MB for as long as the process lives, so a thread does it and ends.
 */
export function loadCredentials(path: string | null): Promise<Credentials> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./credentials-worker.ts', import.meta.url), { workerData: { path } });
    let done = false;
    worker.once('message', (credentials: Credentials) => {
      done = true;
      resolve(credentials);
    });
    worker.once('error', reject);
    worker.once('exit', (code) => {
      if (!done) reject(new Error(`reading ${path ?? 'the default kubeconfig'} ended with code ${code}`));
    });
  });
}
