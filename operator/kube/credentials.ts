import { execFile } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How to reach an API server and prove who we are. */
export interface Credentials {
  readonly server: string;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Name in the server's certificate, where it differs from the host's. */
  readonly servername?: string | undefined;
  readonly rejectUnauthorized: boolean;
  /** Proxy through which the server is reached. */
  readonly proxy?: string | undefined;
  /** Value of the Authorization header. */
  readonly authorization?: string | undefined;
  /** Whose rights are asked for instead of our own, as by kubectl's --as. */
  readonly impersonate?: string | undefined;
  /** A file with a bearer token that somebody renews, as kubelet does for pods; it comes before `authorization`. */
  readonly tokenFile?: string | undefined;
  /** The context's namespace, where it names one. */
  readonly namespace?: string | undefined;
}

// As sources, or built.
const READER = fileURLToPath(new URL(`./credentials-reader${extname(import.meta.url)}`, import.meta.url));

/**
 * Reads a kubeconfig (or the in-cluster account) with @kubernetes/client-node, which knows every way of authentication there is:
 * files, exec plugins, OIDC. `context`: one of the kubeconfig's, default its current one. Importing it costs 80 MB for as long as the process lives, so another process does it.
 */
export function loadCredentials(path: string | null, context: string | null = null): Promise<Credentials> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [READER, path ?? '', context ?? ''], { timeout: 30_000 }, (error, stdout, stderr) => {
      // The output holds keys: it never goes into a message.
      if (error)
        reject(new Error(`${path ?? 'the default kubeconfig'} cannot be read: ${reasonIn(stderr) ?? 'its reader ended without a word'}`));
      else resolve(JSON.parse(stdout) as Credentials);
    });
  });
}

/** The sentence of an uncaught error, among the stack that Node prints around it. */
function reasonIn(stderr: string): string | undefined {
  return /^(?:\w*Error|\w*Exception)(?: \[\w+\])?: (.+)$/m.exec(stderr)?.[1] ?? stderr.trim().split('\n').at(-1);
}
