import { once } from 'node:events';
import type { V1Node } from '@kubernetes/client-node';
import type { KubeClient } from '../../operator/kube/client.ts';
import { pause } from '../../operator/kube/pause.ts';
import { NODE } from '../../operator/kube/types.ts';
import type { Cloud, Feed } from './announcement.ts';
import { awsFeeds } from './aws.ts';
import { Acknowledgement, azureFeeds } from './azure.ts';
import type { NotifierConfig } from './configuration.ts';
import { follow } from './follow.ts';
import { gcpFeeds } from './gcp.ts';
import type { Log } from './log.ts';
import { cloudOf, hasGpu } from './machine.ts';
import { NodeMarker } from './marker.ts';
import { MetadataService } from './metadata.ts';
import { type FeedHealth, metricsText } from './metrics.ts';

/** The same for all clouds; Google's by address, since the node's resolver need not know metadata.google.internal. */
const METADATA_URL = 'http://169.254.169.254';
/** A fault that goes on is told again so often. */
const TELL_AGAIN_MS = 60_000;
const NODE_RETRY_MS = 2_000;

/** Follows what this machine's cloud announces and marks its Node with it. */
export class Notifier {
  readonly #config: NotifierConfig;
  readonly #client: KubeClient;
  readonly #log: Log;
  readonly #health = new Map<string, FeedHealth>();
  #marker: NodeMarker | null = null;

  constructor(config: NotifierConfig, client: KubeClient, log: Log) {
    this.#config = config;
    this.#client = client;
    this.#log = log;
  }

  metrics(): string {
    return metricsText(this.#health, this.#marker?.announced ?? null, performance.now());
  }

  /** Works until told to stop. */
  async run(signal: AbortSignal): Promise<void> {
    const cloud = await this.#findCloud(signal);
    if (cloud !== null) await this.#followCloud(cloud, signal);
    else if (!signal.aborted) {
      this.#log.info({}, 'this machine belongs to no cloud that is known (set CLOUD to aws, gcp or azure if it does): idle');
      await once(signal, 'abort');
    }
  }

  /** By what was told or the firmware says, else by the Node, which says nothing where no cloud's controller runs. */
  async #findCloud(signal: AbortSignal): Promise<Cloud | null> {
    const { cloud: told, node: name } = this.#config;
    const found = cloudOf(told, undefined);
    if (found !== null || told !== undefined) return found;
    while (!signal.aborted) {
      const node = await this.#client.get(NODE, undefined, name, { signal }).catch((error: Error) => {
        this.#log.warn({ reason: error.message }, 'the node cannot be read; trying again');
        return null;
      });
      if (node !== null) return cloudOf(undefined, node.spec?.providerID);
      await pause(NODE_RETRY_MS, signal);
    }
    return null;
  }

  async #followCloud(cloud: Cloud, signal: AbortSignal): Promise<void> {
    const { node, metadataUrl, gcpNoticeSeconds } = this.#config;
    const service = new MetadataService(metadataUrl ?? METADATA_URL, Date.now);
    const feeds: Feed[] =
      cloud === 'aws'
        ? awsFeeds(service)
        : cloud === 'gcp'
          ? gcpFeeds(service, { noticeSeconds: gcpNoticeSeconds, hasGpu: hasGpu() })
          : azureFeeds(service);
    const acknowledgement = new Acknowledgement(service, this.#log);
    const marker = new NodeMarker(
      {
        client: this.#client,
        node,
        now: () => service.now(),
        log: this.#log,
        ...(cloud === 'azure' ? { onNode: (object: V1Node) => acknowledgement.look(object, marker.announced, signal) } : {}),
      },
      feeds.length,
    );
    this.#marker = marker;
    this.#log.info({ node, cloud, feeds: feeds.map((f) => f.name) }, 'following the metadata service');
    await Promise.all([marker.run(signal), ...feeds.map((feed) => this.#followFeed(feed, marker, signal))]);
  }

  #followFeed(feed: Feed, marker: NodeMarker, signal: AbortSignal): Promise<void> {
    const state: FeedHealth = { answeredAt: null, faults: 0 };
    this.#health.set(feed.name, state);
    let toldAt: number | null = null;
    return follow(
      feed,
      {
        onAnswer: (announcements) => {
          if (toldAt !== null) this.#log.info({ feed: feed.name }, 'the metadata service answers again');
          toldAt = null;
          state.answeredAt = performance.now();
          marker.hear(feed.name, announcements);
        },
        onFault: (error) => {
          state.faults++;
          if (toldAt !== null && performance.now() - toldAt < TELL_AGAIN_MS) return;
          toldAt = performance.now();
          this.#log.warn({ feed: feed.name, reason: error.message }, 'no answer that can be used; trying again');
        },
      },
      signal,
    );
  }
}
