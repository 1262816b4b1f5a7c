import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import { Cluster, type NodeSpec, type Progress } from '../cluster/cluster.ts';
import { DEMO_NODES } from '../cluster/demo-nodes.ts';
import type { DemoCluster, DemoNode } from './demo-cluster.ts';
import { CPU_NODES, PIPELINE_POOLS } from './pipeline-stage.ts';
import { DEMO_POOLS } from './stage.ts';

export const CLUSTER = 'demo';

/** The demo on a cluster that it starts on this machine. */
export class EmbeddedCluster implements DemoCluster {
  readonly pools: readonly GpuPool[];
  readonly gpusPerWorker = 1;
  readonly description: string;
  readonly #cluster: Cluster;
  readonly #gone = new Map<string, NodeSpec>();

  private constructor(cluster: Cluster, withCpuNodes: boolean) {
    this.#cluster = cluster;
    this.pools = withCpuNodes ? PIPELINE_POOLS : DEMO_POOLS;
    const nodes = 'aws us-east-1a spot ×2 · gcp us-central1-a spot ×2 · aws us-east-1b on-demand ×1';
    this.description = withCpuNodes ? `7 nodes: ${nodes} · aws us-east-1c spot without GPU ×2` : `5 nodes: ${nodes}`;
  }

  /** `withCpuNodes`: also nodes for what needs no GPU. */
  static async start(progress: Progress, withCpuNodes: boolean): Promise<EmbeddedCluster> {
    const nodes = withCpuNodes ? [...DEMO_NODES, ...CPU_NODES] : DEMO_NODES;
    return new EmbeddedCluster(await Cluster.start({ nodes, name: CLUSTER, progress }), withCpuNodes);
  }

  get kubeconfig(): string {
    return this.#cluster.kubeconfig;
  }

  get address(): string {
    return this.#cluster.address;
  }

  get directory(): string {
    return this.#cluster.directory;
  }

  get client() {
    return this.#cluster.client;
  }

  get s3() {
    return this.#cluster.s3;
  }

  nodes(): DemoNode[] {
    return this.#cluster.nodes.map(({ name, zone, capacity }) => ({
      name,
      pool: this.pools.find((p) => p.spec.zone === zone)?.metadata.name ?? '',
      isSpot: capacity === 'spot',
    }));
  }

  async interrupt(node: DemoNode, noticeSeconds: number): Promise<{ seconds: number; gone: Promise<void> }> {
    this.#remember(node);
    return this.#cluster.interruptNode(node.name, { noticeSeconds });
  }

  async kill(node: DemoNode): Promise<void> {
    this.#remember(node);
    await this.#cluster.killNode(node.name);
  }

  async replace(node: DemoNode): Promise<void> {
    const spec = this.#gone.get(node.name);
    if (spec) await this.#cluster.addNode(spec);
  }

  #remember({ name }: DemoNode): void {
    const spec = this.#cluster.nodes.find((n) => n.name === name);
    if (spec) this.#gone.set(name, spec);
  }

  keep(): void {
    this.#cluster.keep();
    this.#cluster.client.close();
  }

  stop(): Promise<void> {
    return this.#cluster.stop();
  }
}
