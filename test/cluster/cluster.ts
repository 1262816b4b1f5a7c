import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isConflict, isNotFound, KubeClient } from '../../operator/kube/client.ts';
import { NODE } from '../../operator/kube/types.ts';
import { ensurePackages } from './apt.ts';
import { attachControlPlane, type ControlPlane, freePorts, lastWords, startControlPlane } from './control-plane.ts';
import { ensureImages } from './images.ts';
import { killNode, linkTools, type NodeState, removeNodeRemains, startNode } from './node.ts';
import { type NodeSpec, noticeTaint } from './node-profiles.ts';
import { RUN } from './paths.ts';
import { pythonSitePackages } from './python.ts';
import { endAll, Fatal, isAlive, until } from './run.ts';
import { S3 } from './s3.ts';
import { makeHostAddress, removeServiceRules, startServices } from './services.ts';
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

/** What a later process needs to drive or remove the cluster. */
interface ClusterState {
  readonly name: string;
  readonly prefix: string;
  readonly address: string;
  readonly url: string;
  readonly s3Port: number;
  readonly images: string;
  readonly pids: number[];
  readonly nodes: NodeState[];
  nextIndex: number;
}

const PREFIX = 'vcn';

/** A real Kubernetes cluster on this machine: a control plane, and nodes with a kubelet and a containerd of their own. */
export class Cluster {
  readonly directory: string;
  readonly controlPlane: ControlPlane;
  readonly client: KubeClient;
  readonly s3: S3;
  readonly #state: ClusterState;
  readonly #images: string;
  readonly #doomed = new Map<string, { timer: NodeJS.Timeout; done: Promise<void> }>();

  private constructor(directory: string, controlPlane: ControlPlane, client: KubeClient, s3: S3, state: ClusterState, images: string) {
    this.directory = directory;
    this.controlPlane = controlPlane;
    this.client = client;
    this.s3 = s3;
    this.#state = state;
    this.#images = images;
  }

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
    const images = await ensureImages();
    progress('tools', 'Python packages');
    await pythonSitePackages();
    progress('cluster', 'control plane');
    mkdirSync(directory, { recursive: true });
    await linkTools(join(directory, 'nodes'));
    const address = await makeHostAddress(PREFIX);
    const [s3Port = 0] = await freePorts(1);
    const controlPlane = await startControlPlane({ directory: join(directory, 'control-plane'), address, audit: options.audit === true });
    const pids = Object.values(controlPlane.pids);
    const state: ClusterState = { name, prefix: PREFIX, address, url: controlPlane.url, s3Port, images, pids, nodes: [], nextIndex: 1 };
    save(directory, state);
    for (const daemon of await startServices(controlPlane)) state.pids.push(daemon.pid);
    const s3 = await S3.start({ directory: join(directory, 's3'), address, port: s3Port });
    state.pids.push(s3.pid);
    save(directory, state);
    const client = await KubeClient.fromKubeconfig(controlPlane.kubeconfig);
    const cluster = new Cluster(directory, controlPlane, client, s3, state, images);
    progress('cluster', `${options.nodes.length} nodes`);
    // Two at a time: more only makes them wait for each other on a small machine.
    const queue = [...options.nodes];
    await Promise.all(
      [0, 1].map(async () => {
        for (let spec = queue.shift(); spec !== undefined; spec = queue.shift()) await cluster.addNode(spec);
      }),
    );
    return cluster;
  }

  /** A cluster that an earlier command has started. */
  static async attach(name: string): Promise<Cluster> {
    const directory = join(RUN, name);
    const state = JSON.parse(readFileSync(stateFile(directory), 'utf8')) as ClusterState;
    const controlPlane = attachControlPlane(join(directory, 'control-plane'), state.address, state.url);
    const client = await KubeClient.fromKubeconfig(controlPlane.kubeconfig);
    return new Cluster(
      directory,
      controlPlane,
      client,
      S3.attach({ directory: join(directory, 's3'), address: state.address, port: state.s3Port }),
      state,
      state.images,
    );
  }

  get kubeconfig(): string {
    return this.controlPlane.kubeconfig;
  }

  /** Address of this machine that pods reach. */
  get address(): string {
    return this.controlPlane.address;
  }

  get nodes(): NodeSpec[] {
    return this.#state.nodes.map((n) => n.spec);
  }

  /** Adds a node and waits until pods can run on it. */
  async addNode(spec: NodeSpec): Promise<void> {
    const index = this.#state.nextIndex++;
    const node = await startNode(spec, {
      controlPlane: this.controlPlane,
      directory: join(this.directory, 'nodes'),
      index,
      prefix: PREFIX,
      images: this.#images,
      dnsAddress: this.address,
    });
    this.#state.nodes.push(node);
    save(this.directory, this.#state);
    await until(`node ${spec.name} ready (log: ${node.directory}/kubelet.log)`, 60_000, async () => {
      if (!node.pids.every(isAlive))
        throw new Fatal(`kubelet or containerd of ${spec.name} ended: ${lastWords(join(node.directory, 'kubelet.log'))}`);
      const found = await this.client.get(NODE, undefined, spec.name);
      return found.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
    });
    await this.#offerGpus(spec);
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
    const { taint, seconds: usual } = noticeTaint(node.spec, Date.now());
    const seconds = options.noticeSeconds ?? usual;
    await this.#taint(name, taint);
    let finish: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const timer = setTimeout(() => {
      this.#doomed.delete(name);
      void this.killNode(name).then(finish, finish);
    }, seconds * 1000);
    this.#doomed.set(name, { timer, done });
    return { seconds, gone: done };
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
    const node = this.#node(name);
    clearTimeout(this.#doomed.get(name)?.timer);
    this.#doomed.delete(name);
    await killNode(node);
    if (deleteNode) await this.client.delete(NODE, undefined, name, { gracePeriodSeconds: 0 }).catch(ignoreNotFound);
    this.#state.nodes.splice(this.#state.nodes.indexOf(node), 1);
    await removeNodeRemains(node);
    save(this.directory, this.#state);
  }

  #node(name: string): NodeState {
    const node = this.#state.nodes.find((n) => n.spec.name === name);
    if (!node) throw new Error(`there is no node ${name}: the nodes are ${this.#state.nodes.map((n) => n.spec.name).join(', ')}`);
    return node;
  }

  /** Ends and removes everything. */
  async stop(): Promise<void> {
    for (const { timer } of this.#doomed.values()) clearTimeout(timer);
    this.client.close();
    await this.s3.stop();
    await removeCluster(this.#state.name);
  }
}

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}

function stateFile(directory: string): string {
  return join(directory, 'state.json');
}

function save(directory: string, state: ClusterState): void {
  writeFileSync(stateFile(directory), JSON.stringify(state));
}

/** Names of clusters that exist, running or left behind by a crash. */
export function clusterNames(): string[] {
  return existsSync(RUN) ? readdirSync(RUN).filter((name) => existsSync(stateFile(join(RUN, name)))) : [];
}

/** Removes a cluster by what its state file says; also one whose process died in the middle. */
export async function removeCluster(name: string): Promise<void> {
  const directory = join(RUN, name);
  if (!existsSync(directory)) return;
  if (existsSync(stateFile(directory))) {
    const state = JSON.parse(readFileSync(stateFile(directory), 'utf8')) as ClusterState;
    for (const node of state.nodes) await killNode(node);
    await endAll(
      state.pids.filter((pid) => belongsTo(pid, directory)),
      2_000,
    );
    for (const node of state.nodes) await removeNodeRemains(node);
    await removeServiceRules(state.prefix);
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** A pid from an old state file may be another process by now. */
function belongsTo(pid: number, directory: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory);
  } catch {
    return false;
  }
}
