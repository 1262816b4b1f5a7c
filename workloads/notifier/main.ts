// Reads the configuration, wires the parts and starts them; nothing else. It is built as CommonJS, which cannot await here.

import { KubeClient } from '../../operator/kube/client.ts';
import { inClusterCredentials } from '../../operator/kube/in-cluster.ts';
import { readConfig } from './configuration.ts';
import { serveHealth } from './health.ts';
import { jsonLog } from './log.ts';
import { Notifier } from './notifier.ts';

const log = jsonLog((line) => process.stdout.write(line), Date.now);
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(new Error(signal)));

const { config, client } = (() => {
  try {
    const read = readConfig(process.env);
    return { config: read, client: new KubeClient(inClusterCredentials(process.env, read.accountDirectory), null, 'vicuna-notifier') };
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
})();
const notifier = new Notifier(config, client, log);
if (config.port !== 0) serveHealth(config.port, () => notifier.metrics());
// Waiting for a signal alone does not keep a process alive.
setInterval(() => undefined, 2 ** 30);
notifier.run(stop.signal).then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
