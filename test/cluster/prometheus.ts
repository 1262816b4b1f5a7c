import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { KubeClient } from '../../operator/kube/client.ts';
import { POD } from '../../operator/kube/types.ts';
import { SERVING_LABEL } from '../../operator/pods/labels.ts';
import { ensurePackages } from './apt.ts';
import { freePorts } from './control-plane.ts';
import { PROMETHEUS } from './remains.ts';
import { type Daemon, kill, startDaemon, until } from './run.ts';

export interface PrometheusOptions {
  readonly directory: string;
  /** The cluster whose pods are scraped. */
  readonly client: KubeClient;
  readonly scrapeSeconds?: number;
  /** What it scrapes besides the cluster's pods. */
  readonly more?: readonly { readonly targets: readonly string[]; readonly labels: Readonly<Record<string, string>> }[];
}

const LOOK_MS = 500;

/** Pods that ask to be scraped, as file discovery wants them: with namespace, name and our labels, like a relabelling would give. */
async function targets(client: KubeClient): Promise<object[]> {
  const { items } = await client.list(POD, { labelSelector: SERVING_LABEL });
  return items.flatMap(({ metadata, status }) => {
    const port = metadata?.annotations?.['prometheus.io/port'];
    if (metadata?.annotations?.['prometheus.io/scrape'] !== 'true' || status?.phase !== 'Running' || !status.podIP || !port) return [];
    const ours = Object.entries(metadata.labels ?? {}).filter(([key]) => key.startsWith('vicuna.run/'));
    const labels = Object.fromEntries(ours.map(([key, value]) => [key.replaceAll(/[./-]/g, '_'), value]));
    return [{ targets: [`${status.podIP}:${port}`], labels: { namespace: metadata.namespace, pod: metadata.name, ...labels } }];
  });
}

/**
 * A real Prometheus on this machine that scrapes the cluster's pods; Debian's is installed where it is missing. That one is built
 * without Kubernetes discovery, so it is told of the pods by a file.
 */
export class Prometheus {
  readonly url: string;
  readonly #options: PrometheusOptions;
  readonly #port: number;
  #daemon: Daemon | null = null;
  #watch: NodeJS.Timeout | null = null;

  private constructor(options: PrometheusOptions, port: number) {
    this.#options = options;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(options: PrometheusOptions): Promise<Prometheus> {
    await ensurePackages({ prometheus: PROMETHEUS });
    mkdirSync(options.directory, { recursive: true });
    const [port = 0] = await freePorts(1);
    const prometheus = new Prometheus(options, port);
    const interval = `${options.scrapeSeconds ?? 2}s`;
    const config = {
      global: { scrape_interval: interval, scrape_timeout: interval },
      scrape_configs: [{ job_name: 'pods', file_sd_configs: [{ files: ['targets.json'], refresh_interval: '1s' }] }],
    };
    writeFileSync(join(options.directory, 'prometheus.yaml'), stringify(config));
    await prometheus.#writeTargets();
    prometheus.#watch = setInterval(() => void prometheus.#writeTargets().catch(() => undefined), LOOK_MS);
    await prometheus.resume();
    return prometheus;
  }

  async #writeTargets(): Promise<void> {
    const { directory, client, more = [] } = this.#options;
    const file = join(directory, 'targets.json');
    writeFileSync(`${file}.new`, JSON.stringify([...(await targets(client)), ...more]));
    renameSync(`${file}.new`, file);
  }

  /** Starts it again after `pause`, with what it knew. */
  async resume(): Promise<void> {
    const { directory } = this.#options;
    const flags = [
      `--config.file=${join(directory, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${this.#port}`,
    ];
    this.#daemon = startDaemon('prometheus', PROMETHEUS, flags, join(directory, 'prometheus.log'));
    await until(
      `Prometheus ready (log: ${join(directory, 'prometheus.log')})`,
      30_000,
      async () => (await fetch(`${this.url}/-/ready`)).ok,
    );
  }

  /** Ends it. */
  async pause(): Promise<void> {
    if (this.#daemon === null) return;
    kill(this.#daemon.pid, 'SIGTERM');
    await this.#daemon.ended;
    this.#daemon = null;
  }

  /** Ends it and removes what it kept. */
  async stop(): Promise<void> {
    if (this.#watch) clearInterval(this.#watch);
    await this.pause();
    rmSync(this.#options.directory, { recursive: true, force: true });
  }
}
