import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isConflict, isNotFound, KubeClient } from '../../operator/kube/client.ts';
import { NODE } from '../../operator/kube/types.ts';
import { ensurePackages } from './apt.ts';
import { StateFile, withNode, withoutNode } from './cluster-state.ts';
import { attachControlPlane, type ControlPlane, lastWords, startControlPlane } from './control-plane.ts';
import { ensureImageStore } from './image-store.ts';
import { ensureImages } from './images.ts';
import { claimNetwork, NetworkInUse } from './network.ts';
import { killNode, linkTools, type NodeState, removeNodeRemains, startNode } from './node.ts';
import { type NodeSpec, noticeTaint } from './node-profiles.ts';
import { Notices } from './notices.ts';
import { isKept, livingOwner, Ownership } from './ownership.ts';
import { RUN } from './paths.ts';
import { pythonSitePackages } from './python.ts';
import { processesOf, removeRemains, rescueLogs } from './remains.ts';
import { Fatal, isAlive, until } from './run.ts';
import { S3 } from './s3.ts';
import { startServices } from './services.ts';
import { CONTROL_PLANE_TOOLS, NODE_TOOLS } from './tool-versions.ts';
import { ensureTools } from './tools.ts';

export type { NodeSpec } from './node-profiles.ts';

/** Says what is going on: a step, a detail, the share that is done and the seconds left where they are known. */
export type Progress = (step: 'tools' | 'cluster', detail: string, share?: number, secondsLeft?: number) => void;

export interface ClusterOptions {
  readonly nodes: readonly NodeSpec[];
  readonly name?: string;
  readonly audit?: boolean;
  readonly progress?: Progress;
}

/** A real Kubernetes cluster on this machine: a control plane, and nodes with a kubelet and a containerd of their own. */
export class Cluster {
  readonly directory: string;
  readonly controlPlane: ControlPlane;
  readonly client: KubeClient;
  readonly s3: S3;
  readonly #state: StateFile;
  readonly #ownership: Ownership | null;
  readonly #notices = new Notices();

  private constructor(
    directory: string,
    { controlPlane, client, s3, state, ownership }: ClusterParts & { state: StateFile; ownership: Ownership | null },
  ) {
    this.directory = directory;
    this.controlPlane = controlPlane;
    this.client = client;
    this.s3 = s3;
    this.#state = state;
    this.#ownership = ownership;
  }

  /**
   * Starts a cluster, which ends with this process, however that ends, unless `keep` is called. A cluster of the same name that nobody
   * owns is removed first; a machine carries one cluster at a time.
   */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const { progress = () => {}, name = 'cluster' } = options;
    if (process.getuid?.() !== 0)
      throw new Error('the embedded cluster starts containers and needs root: run it as root, or use --kubeconfig with a cluster of yours');
    const directory = join(RUN, name);
    await removeCluster(name);
    progress('tools', 'Debian packages');
    await ensurePackages();
    await ensureTools([...CONTROL_PLANE_TOOLS, ...NODE_TOOLS], (tool, how, share, left) =>
      progress('tools', `${how} ${tool}`, share, left),
    );
    progress('tools', 'images');
    const images = await ensureImageStore(await ensureImages());
    progress('tools', 'Python packages');
    await pythonSitePackages();
    progress('cluster', 'control plane');
    const ownership = Ownership.take(directory);
    const giveUp = async () => {
      await removeRemains(directory);
      await ownership.release();
    };
    const address = await claim(directory).catch(async (error) => {
      await giveUp();
      throw error;
    });
    try {
      const parts = await startParts(directory, address, options.audit === true);
      const { url } = parts.controlPlane;
      const state = new StateFile(directory);
      state.create({ name, address, url, s3Port: parts.s3.port, images, nodes: [], lost: [], lastIndex: 0 });
      const cluster = new Cluster(directory, { ...parts, state, ownership });
      progress('cluster', `${options.nodes.length} nodes`);
      // Two at a time: more only makes them wait for each other on a small machine.
      const queue = [...options.nodes];
      await Promise.all(
        [0, 1].map(async () => {
          for (let spec = queue.shift(); spec !== undefined; spec = queue.shift()) await cluster.addNode(spec);
        }),
      );
      return cluster;
    } catch (error) {
      const logs = rescueLogs(directory, name);
      await giveUp();
      throw new Error(`the embedded cluster could not start: ${(error as Error).message}\nThe logs of its parts: ${logs}`, {
        cause: error,
      });
    }
  }

  /** A cluster that an earlier command has started. */
  static async attach(name: string): Promise<Cluster> {
    const directory = join(RUN, name);
    const state = new StateFile(directory);
    if (!state.exists)
      throw new Error(`the cluster "${name}" is not up yet, or its start was cut off: wait, or remove it with \`npm run cluster -- down\``);
    const { address, url, s3Port } = state.read();
    const controlPlane = attachControlPlane(join(directory, 'control-plane'), address, url);
    const client = await KubeClient.fromKubeconfig(controlPlane.kubeconfig);
    const s3 = S3.attach({ directory: join(directory, 's3'), address, port: s3Port });
    return new Cluster(directory, { controlPlane, client, s3, state, ownership: null });
  }

  /** Lets the cluster outlive this process, until `removeCluster` or a start under the same name removes it. */
  keep(): void {
    this.#ownership?.keep();
  }

  get kubeconfig(): string {
    return this.controlPlane.kubeconfig;
  }

  /** Address of this machine that pods reach. */
  get address(): string {
    return this.controlPlane.address;
  }

  get nodes(): NodeSpec[] {
    return this.#state.read().nodes.map((n) => n.spec);
  }

  /** Adds a node and waits until pods can run on it. */
  async addNode(spec: NodeSpec): Promise<void> {
    const { nodes, images } = this.#state.read();
    if (nodes.some((n) => n.spec.name === spec.name)) throw new Error(`there is a node ${spec.name} already`);
    const index = await this.#state.reserveIndex();
    const { controlPlane, directory, address } = this;
    const node = await startNode(spec, { controlPlane, directory, index, images, dnsAddress: address });
    await this.#state.change((state) => withNode(state, node));
    await until(`node ${spec.name} ready (log: ${node.directory}/kubelet.log)`, 60_000, async () => {
      if (!node.pids.every(isAlive))
        throw new Fatal(`kubelet or containerd of ${spec.name} ended: ${lastWords(join(node.directory, 'kubelet.log'))}`);
      const found = await this.client.get(NODE, undefined, spec.name);
      return found.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
    });
    await this.#offerGpus(spec);
  }

  /** Brings a node that was taken away back: a new machine of the same kind and name, with nothing on it. */
  async restoreNode(name: string): Promise<void> {
    const state = this.#state.read();
    const spec = state.lost.find((s) => s.name === name);
    if (!spec) {
      const lost = state.lost.map((s) => s.name).join(', ') || 'none';
      throw new Error(`${name} was not taken away; nodes that were: ${lost}`);
    }
    await this.addNode(spec);
  }

  /** There is no GPU here; the kubelet keeps what is put into its node's capacity. */
  async #offerGpus(spec: NodeSpec): Promise<void> {
    if (spec.gpus === 0) return;
    const patch = { status: { capacity: { 'nvidia.com/gpu': String(spec.gpus) }, allocatable: { 'nvidia.com/gpu': String(spec.gpus) } } };
    await this.client.mergePatch(NODE, undefined, spec.name, patch, { subresource: 'status' });
    await until(
      `GPUs of ${spec.name}`,
      30_000,
      async () => Number((await this.client.get(NODE, undefined, spec.name)).status?.allocatable?.['nvidia.com/gpu'] ?? 0) === spec.gpus,
    );
  }

  /**
   * Takes a spot node back as its cloud does: the handler's taint now, and after the notice everything on it is killed and the node
   * is gone. Returns when the taint is set, with when the kill will be; `gone` resolves after it.
   */
  async interruptNode(name: string, options: { noticeSeconds?: number } = {}): Promise<{ seconds: number; gone: Promise<void> }> {
    const node = this.#node(name);
    const { taint, seconds } = noticeTaint(node.spec, Date.now(), options.noticeSeconds);
    await this.#taint(name, taint);
    const gone = this.#notices.give(name, seconds, () => this.#end(name, true));
    return { seconds, gone };
  }

  async #taint(name: string, taint: object): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const node = await this.client.get(NODE, undefined, name);
      const taints = [...(node.spec?.taints ?? []), taint];
      const patch = { metadata: { resourceVersion: node.metadata?.resourceVersion }, spec: { taints } };
      try {
        await this.client.mergePatch(NODE, undefined, name, patch);
        return;
      } catch (error) {
        if (!isConflict(error) || attempt > 10) throw error;
      }
    }
  }

  /** kill -9 of everything on the node; then the cloud's controller removes the Node object, unless told not to. */
  async killNode(name: string, { deleteNode = true }: { deleteNode?: boolean } = {}): Promise<void> {
    await this.#notices.ending(name, () => this.#end(name, deleteNode));
  }

  async #end(name: string, deleteNode: boolean): Promise<void> {
    const node = this.#node(name);
    await killNode(node);
    if (deleteNode) await this.client.delete(NODE, undefined, name, { gracePeriodSeconds: 0 }).catch(ignoreNotFound);
    await removeNodeRemains(node);
    await this.#state.change((state) => withoutNode(state, node));
  }

  #node(name: string): NodeState {
    const { nodes } = this.#state.read();
    const node = nodes.find((n) => n.spec.name === name);
    if (!node) throw new Error(`there is no node ${name}: the nodes are ${nodes.map((n) => n.spec.name).join(', ')}`);
    return node;
  }

  /** Ends and removes everything. */
  async stop(): Promise<void> {
    this.#notices.withdraw(new Error('the cluster has stopped'));
    this.client.close();
    await this.s3.stop();
    await removeRemains(this.directory);
    await this.#ownership?.release();
  }
}

/** A dead kubelet shows after 12 s instead of 50: tests of lost nodes need not wait for it. */
const GRACE_SECONDS = 12;

interface ClusterParts {
  readonly controlPlane: ControlPlane;
  readonly client: KubeClient;
  readonly s3: S3;
}

/** Everything but the nodes. */
async function startParts(directory: string, address: string, audit: boolean): Promise<ClusterParts> {
  await linkTools(directory);
  const controlPlane = await startControlPlane({
    directory: join(directory, 'control-plane'),
    address,
    audit,
    nodeGraceSeconds: GRACE_SECONDS,
  });
  const client = await KubeClient.fromKubeconfig(controlPlane.kubeconfig);
  await startServices(controlPlane, client);
  const s3 = await S3.start({ directory: join(directory, 's3'), address });
  return { controlPlane, client, s3 };
}

/** Claims the machine's network; a dead starter's cluster in it is removed, a living one's is not touched. */
async function claim(directory: string): Promise<string> {
  try {
    return await claimNetwork(directory);
  } catch (error) {
    if (!(error instanceof NetworkInUse) || error.holder === '') throw error;
    const name = basename(error.holder);
    const owner = livingOwner(error.holder);
    if (owner !== null) throw new Error(`this machine carries one embedded cluster at a time, and process ${owner} uses "${name}"`);
    // Of a kept cluster nothing runs any more after a restart of the machine: it is in nobody's way.
    if (isKept(error.holder) && processesOf(error.holder).length > 0)
      throw new Error(`this machine carries one embedded cluster at a time: remove "${name}" with \`npm run cluster -- down\``);
    await removeRemains(error.holder);
    return claimNetwork(directory);
  }
}

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}

/** Names of clusters that exist, running or left behind by a crash. */
export function clusterNames(): string[] {
  return existsSync(RUN) ? readdirSync(RUN) : [];
}

/** Removes a cluster, also one whose starter died in the middle; refuses one that a living process owns. */
export async function removeCluster(name: string): Promise<void> {
  const directory = join(RUN, name);
  const owner = livingOwner(directory);
  if (owner !== null && owner !== process.pid)
    throw new Error(`the embedded cluster "${name}" is in use by process ${owner}: end that first`);
  await removeRemains(directory);
}
