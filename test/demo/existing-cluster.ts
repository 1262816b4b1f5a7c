import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Node, V1Taint } from '@kubernetes/client-node';
import { GPU_POOL, type GpuPool } from '../../operator/api/gpu-pool.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { isNotFound, KubeClient } from '../../operator/kube/client.ts';
import { loadCredentials } from '../../operator/kube/credentials.ts';
import { NODE, POD, SECRET } from '../../operator/kube/types.ts';
import { TRAINING_LABEL } from '../../operator/pods/labels.ts';
import { until } from '../cluster/run.ts';
import { S3 } from '../cluster/s3.ts';
import type { DemoCluster, DemoNode } from './demo-cluster.ts';
import { INPUTS_SECRET, NAMESPACE } from './stage.ts';

const NOTICE_TAINT = 'vicuna.run/interruption';
const GPU = 'nvidia.com/gpu';
/** What a demo's GPU hour costs: there is nobody to ask, and the summary compares spot with on-demand. */
const PRICE = { onDemand: '1.000', spot: '0.400' };
const ZONE = 'topology.kubernetes.io/zone';

/**
 * The demo on a cluster of the user's own. Operator and S3 server run on this machine, which pods must be able to reach. Nodes are not
 * harmed: the notice is a taint, their end the end of the demo's pods on them, and both are taken back.
 */
export class ExistingCluster implements DemoCluster {
  readonly kubeconfig: string;
  readonly address: string;
  readonly directory: string;
  readonly client: KubeClient;
  readonly s3: S3;
  readonly pools: readonly GpuPool[];
  readonly gpusPerWorker: number;
  readonly #nodes: readonly V1Node[];
  readonly #gone = new Set<string>();
  #kept = false;

  private constructor(parts: { kubeconfig: string; address: string; directory: string; client: KubeClient; s3: S3; nodes: V1Node[] }) {
    this.kubeconfig = parts.kubeconfig;
    this.address = parts.address;
    this.directory = parts.directory;
    this.client = parts.client;
    this.s3 = parts.s3;
    this.#nodes = parts.nodes;
    this.gpusPerWorker = parts.nodes.every((node) => gpusOf(node) > 0) ? 1 : 0;
    this.pools = poolsOf(parts.nodes, this.gpusPerWorker > 0);
  }

  static async attach(kubeconfig: string): Promise<ExistingCluster> {
    const client = await KubeClient.fromKubeconfig(kubeconfig);
    const { items } = await client.list(NODE);
    const nodes = items.filter(isUsable);
    if (nodes.length < 2)
      throw new Error(`${kubeconfig}: the demo moves between nodes and needs two that are ready and not cordoned; it has ${nodes.length}`);
    const address = await addressTowards((await loadCredentials(kubeconfig)).server);
    const directory = mkdtempSync(join(tmpdir(), 'vicuna-demo-'));
    const s3 = await S3.start({ directory: join(directory, 's3'), address });
    const cluster = new ExistingCluster({ kubeconfig, address, directory, client, s3, nodes });
    await cluster.#removeOwn(); // what a demo that was cut off has left
    return cluster;
  }

  get description(): string {
    return `${this.#nodes.length} nodes of yours: ${this.pools.map((p) => p.metadata.name).join(' · ')}`;
  }

  nodes(): DemoNode[] {
    return this.#nodes.map((node) => ({ name: nameOf(node), pool: poolName(node), isSpot: !this.#gone.has(nameOf(node)) }));
  }

  async interrupt(node: DemoNode, noticeSeconds: number): Promise<{ seconds: number; gone: Promise<void> }> {
    const deadline = Date.now() + noticeSeconds * 1000;
    await this.#setTaints(node.name, (taints) => [
      ...taints,
      { key: NOTICE_TAINT, value: String(Math.floor(deadline / 1000)), effect: 'NoSchedule' },
    ]);
    const gone = new Promise<void>((resolve) => setTimeout(resolve, deadline - Date.now())).then(() => this.kill(node));
    return { seconds: noticeSeconds, gone };
  }

  /** The demo's pods on the node end at once, without a word. */
  async kill(node: DemoNode): Promise<void> {
    this.#gone.add(node.name);
    const { items } = await this.client.list(POD, { namespace: NAMESPACE, labelSelector: TRAINING_LABEL });
    const there = items.filter((p) => p.spec?.nodeName === node.name);
    await Promise.all(
      there.map((p) => this.client.delete(POD, NAMESPACE, p.metadata?.name ?? '', { gracePeriodSeconds: 0 }).catch(ignoreNotFound)),
    );
  }

  async replace(node: DemoNode): Promise<void> {
    await this.#setTaints(node.name, (taints) => taints.filter((t) => t.key !== NOTICE_TAINT));
    this.#gone.delete(node.name);
  }

  async #setTaints(name: string, change: (taints: V1Taint[]) => V1Taint[]): Promise<void> {
    const node = await this.client.get(NODE, undefined, name);
    await this.client.mergePatch(NODE, undefined, name, {
      metadata: { resourceVersion: node.metadata?.resourceVersion },
      spec: { taints: change(node.spec?.taints ?? []) },
    });
  }

  keep(): void {
    this.#kept = true;
  }

  async stop(): Promise<void> {
    if (this.#kept) return;
    await this.#removeOwn();
    this.client.close();
    await this.s3.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** None where the kind is not known yet. */
  async #trainings(): Promise<VicunaTraining[]> {
    try {
      return (await this.client.list(TRAINING, { namespace: NAMESPACE })).items;
    } catch (error) {
      ignoreNotFound(error);
      return [];
    }
  }

  /** Removes what a demo makes; the kinds stay, since others may have made objects of them. */
  async #removeOwn(): Promise<void> {
    for (const node of this.nodes()) await this.replace(node);
    const own = (await this.#trainings()).filter((t) => t.metadata.labels?.['app.kubernetes.io/part-of'] === 'vicuna-demo');
    for (const { metadata } of own) await this.client.delete(TRAINING, NAMESPACE, metadata.name ?? '', { propagationPolicy: 'Background' });
    for (const { metadata } of this.pools) await this.client.delete(GPU_POOL, undefined, metadata.name ?? '').catch(ignoreNotFound);
    await this.client.delete(SECRET, NAMESPACE, INPUTS_SECRET).catch(ignoreNotFound);
    await until("the demo's pods gone", 60_000, async () => {
      const pods = await this.client.list(POD, { namespace: NAMESPACE, labelSelector: TRAINING_LABEL });
      return pods.items.every((p) => !own.some((t) => p.metadata?.labels?.[TRAINING_LABEL] === t.metadata.name));
    });
  }
}

/** A pool for each zone that has nodes. */
export function poolsOf(nodes: readonly V1Node[], withGpus: boolean): GpuPool[] {
  return [...Map.groupBy(nodes, poolName)].map(([name, members]) => {
    const [first] = members;
    const zone = first?.metadata?.labels?.[ZONE];
    const count = withGpus ? Math.min(...members.map(gpusOf)) : 0;
    return {
      metadata: { name },
      spec: {
        cloud: cloudOf(first),
        ...(zone === undefined ? {} : { zone }),
        capacity: 'spot',
        accelerator: { type: count > 0 ? 'gpu' : 'none', count, resourceName: GPU },
        price: PRICE,
        nodeSelector: zone === undefined ? { 'kubernetes.io/os': 'linux' } : { [ZONE]: zone },
        tolerations: taintsOf(members).map((t) => ({ key: t.key, operator: 'Exists', effect: t.effect })),
        notice: '30s',
      },
    } as unknown as GpuPool;
  });
}

/** Taints of their own that nodes have, each once; those that Kubernetes sets come and go. */
function taintsOf(nodes: readonly V1Node[]): V1Taint[] {
  const own = nodes.flatMap((n) => n.spec?.taints ?? []).filter((t) => !t.key.startsWith('node.kubernetes.io/') && t.key !== NOTICE_TAINT);
  return [...new Map(own.map((t) => [`${t.key} ${t.effect}`, t])).values()];
}

function poolName(node: V1Node): string {
  return `demo-${node.metadata?.labels?.[ZONE]?.toLowerCase() ?? 'nodes'}`;
}

function cloudOf(node: V1Node | undefined): string {
  const provider = node?.spec?.providerID?.split(':')[0];
  return { aws: 'aws', gce: 'gcp', azure: 'azure' }[provider ?? ''] ?? 'onPremise';
}

function gpusOf(node: V1Node): number {
  return Number(node.status?.allocatable?.[GPU] ?? 0);
}

function nameOf(node: V1Node): string {
  return node.metadata?.name ?? '';
}

/** Ready, schedulable, and no control plane of its own right. */
export function isUsable(node: V1Node): boolean {
  const ready = node.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
  const isControlPlane = node.spec?.taints?.some((t) => t.key === 'node-role.kubernetes.io/control-plane') ?? false;
  return ready && !isControlPlane && node.spec?.unschedulable !== true;
}

/** This machine's address on the way to a server, by which what is near the server can most likely reach it, too. */
async function addressTowards(server: string): Promise<string> {
  const { hostname, port, protocol } = new URL(server);
  const socket = connect(Number(port || (protocol === 'https:' ? 443 : 80)), hostname.replace(/^\[|\]$/g, ''));
  try {
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return socket.localAddress ?? '127.0.0.1';
  } finally {
    socket.destroy();
  }
}

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
