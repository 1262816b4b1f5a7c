import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { stringify } from 'yaml';
import type { ControlPlane } from './control-plane.ts';
import { freePorts } from './control-plane.ts';
import { type NodeSpec, nodeLabels, nodeTaints } from './node-profiles.ts';
import { attempt, isAlive, kill, run, startDaemon, until } from './run.ts';
import type { ToolName } from './tool-versions.ts';
import { toolPath } from './tools.ts';

/** What is needed to take a node away again, also by a later process. */
export interface NodeState {
  readonly spec: NodeSpec;
  readonly directory: string;
  readonly bridge: string;
  readonly gateway: string;
  readonly cgroup: string;
  readonly pids: readonly number[];
}

export interface NodeOptions {
  readonly controlPlane: ControlPlane;
  readonly directory: string;
  /** Which 10.200.<index>.0/24 its pods get. */
  readonly index: number;
  readonly prefix: string;
  /** Archive of the images that every node has. */
  readonly images: string;
  readonly dnsAddress: string;
}

const PAUSE_IMAGE = 'docker.io/vicuna/pause:dev';
const CGROUPS = '/sys/fs/cgroup';

/** Starts containerd and kubelet for one node, each with directories, ports, network and cgroups of its own. */
export async function startNode(spec: NodeSpec, options: NodeOptions): Promise<NodeState> {
  const { controlPlane, index, prefix } = options;
  const directory = join(options.directory, spec.name);
  mkdirSync(directory, { recursive: true });
  const gateway = `10.200.${index}.1`;
  const bridge = `${prefix}${index}`;
  const cgroup = `${prefix}-${index}`;
  makeCgroup(cgroup);
  await makeBridge(bridge, gateway);
  const [kubeletPort = 0, healthPort = 0] = await freePorts(2);
  const socket = join(directory, 'containerd.sock');
  writeFileSync(join(directory, 'containerd.toml'), containerdConfig(directory, socket));
  writeCni(directory, bridge, index);
  const path = `${binDirectory(directory)}:${process.env.PATH}`;
  const containerd = startDaemon(
    'containerd',
    toolPath('containerd'),
    ['--config', join(directory, 'containerd.toml')],
    join(directory, 'containerd.log'),
    { PATH: path },
  );
  const user = `node-${spec.name}`;
  await controlPlane.pki.issue(user, `/O=system:nodes/CN=system:node:${spec.name}`, [gateway, spec.name]);
  const kubeconfig = join(directory, 'kubeconfig');
  controlPlane.pki.kubeconfig(kubeconfig, user, controlPlane.url);
  await until('containerd answering', 20_000, async () => (await attempt(toolPath('ctr'), ['-a', socket, 'version'])) !== null);
  await run(toolPath('ctr'), ['-a', socket, '-n', 'k8s.io', 'images', 'import', options.images]);
  writeFileSync(
    join(directory, 'kubelet.yaml'),
    kubeletConfig({ spec, options, directory, socket, kubeletPort, healthPort, cgroup, user }),
  );
  const kubelet = startDaemon(
    'kubelet',
    toolPath('kubelet'),
    [
      `--config=${join(directory, 'kubelet.yaml')}`,
      `--kubeconfig=${kubeconfig}`,
      `--root-dir=${join(directory, 'kubelet')}`,
      `--cert-dir=${join(directory, 'kubelet-pki')}`,
      `--hostname-override=${spec.name}`,
      `--node-ip=${gateway}`,
      `--node-labels=${Object.entries(nodeLabels(spec))
        .filter(([key]) => isSettable(key))
        .map(([k, v]) => `${k}=${v}`)
        .join(',')}`,
      '--v=1',
    ],
    join(directory, 'kubelet.log'),
    { PATH: path },
  );
  return { spec, directory, bridge, gateway, cgroup, pids: [kubelet.pid, containerd.pid] };
}

/** A kubelet may set only some of the labels in kubernetes.io's space by itself. */
function isSettable(key: string): boolean {
  return !key.includes('kubernetes.io/') || key.startsWith('topology.kubernetes.io/') || key.startsWith('node.kubernetes.io/');
}

/** Ends everything of the node at once, as a cloud that takes the machine away: nothing gets to say goodbye. */
export async function killNode(state: NodeState): Promise<void> {
  for (const pid of state.pids) kill(pid, 'SIGKILL');
  // Containers outlive their shims, and shims outlive containerd: the cgroups know them all.
  await until('the processes of the node to end', 10_000, () => {
    const shims = processesWith(state.directory);
    const contained = cgroupPids(state.cgroup);
    for (const pid of [...shims, ...contained]) kill(pid, 'SIGKILL');
    return shims.length === 0 && contained.length === 0 && !state.pids.some(isAlive);
  });
}

/** Removes what a killed node leaves behind: mounts, network, cgroups, directory. */
export async function removeNodeRemains(state: NodeState): Promise<void> {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((mount) => mount.startsWith(`${state.directory}/`))
    .sort((a, b) => b.length - a.length);
  for (const mount of mounts) await attempt('umount', ['-l', mount]);
  await attempt('ip', ['link', 'delete', state.bridge]);
  removeCgroup(state.cgroup);
  rmSync(state.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

async function makeBridge(bridge: string, gateway: string): Promise<void> {
  await attempt('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await attempt('ip', ['addr', 'add', `${gateway}/24`, 'dev', bridge]);
  await run('ip', ['link', 'set', bridge, 'up']);
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
}

/** All cgroup hierarchies that a process can be put into: one on v2, several on v1. */
function hierarchies(): string[] {
  if (existsSync(join(CGROUPS, 'cgroup.controllers'))) return [CGROUPS];
  return readdirSync(CGROUPS)
    .map((name) => join(CGROUPS, name))
    .filter((path) => statSync(path).isDirectory() && existsSync(join(path, 'cgroup.procs')));
}

function makeCgroup(name: string): void {
  for (const hierarchy of hierarchies()) {
    const path = join(hierarchy, name);
    mkdirSync(path, { recursive: true });
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      // A v1 cpuset takes no process before it has CPUs and memory.
      if (existsSync(join(path, file))) writeFileSync(join(path, file), readFileSync(join(hierarchy, file), 'utf8').trim());
    }
  }
}

function cgroupDirectories(name: string): string[] {
  const walk = (path: string): string[] =>
    existsSync(path)
      ? [...readdirSync(path, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? walk(join(path, e.name)) : [])), path]
      : [];
  return hierarchies().flatMap((h) => walk(join(h, name)));
}

function cgroupPids(name: string): number[] {
  return cgroupDirectories(name).flatMap((path) => {
    try {
      return readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    } catch {
      return []; // it has just gone
    }
  });
}

function removeCgroup(name: string): void {
  for (const path of cgroupDirectories(name)) {
    try {
      rmdirSync(path);
    } catch {
      // Still busy, or gone: a cgroup without processes costs nothing.
    }
  }
}

/** Processes whose command line names the node's directory: its shims. */
function processesWith(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, 'utf8');
        return line.includes(`${directory}/`) && basename(line.split('\0')[0] ?? '').startsWith('containerd-shim');
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** One directory with the tools that containerd looks for on its path. */
function binDirectory(directory: string): string {
  return join(directory, '..', 'bin');
}

/** Links the tools that containerd and CNI look for by name into one directory. */
export async function linkTools(directory: string): Promise<void> {
  const bin = join(directory, 'bin');
  mkdirSync(bin, { recursive: true });
  const names: ToolName[] = ['containerd-shim-runc-v2', 'bridge', 'host-local', 'loopback', 'ctr'];
  for (const name of names) await run('ln', ['-sf', toolPath(name), join(bin, name)]);
}

function containerdConfig(directory: string, socket: string): string {
  return `version = 3
root = "${join(directory, 'containerd')}"
state = "${join(directory, 'containerd-state')}"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "${socket}"

[plugins."io.containerd.cri.v1.runtime"]
  # Lowering a container's OOM score needs CAP_SYS_RESOURCE, which a container or micro-VM may lack.
  restrict_oom_score_adj = true
  disable_apparmor = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["${join(directory, '..', 'bin')}"]
  conf_dir = "${join(directory, 'cni')}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${PAUSE_IMAGE}"
`;
}

function writeCni(directory: string, bridge: string, index: number): void {
  const cni = join(directory, 'cni');
  mkdirSync(cni, { recursive: true });
  const config = {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: false,
        ipam: {
          type: 'host-local',
          dataDir: join(directory, 'cni-leases'),
          ranges: [[{ subnet: `10.200.${index}.0/24`, rangeStart: `10.200.${index}.10` }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  };
  writeFileSync(join(cni, '10-pods.conflist'), JSON.stringify(config));
}

interface KubeletSettings {
  readonly spec: NodeSpec;
  readonly options: NodeOptions;
  readonly directory: string;
  readonly socket: string;
  readonly kubeletPort: number;
  readonly healthPort: number;
  readonly cgroup: string;
  readonly user: string;
}

function kubeletConfig({ spec, options, directory, socket, kubeletPort, healthPort, cgroup, user }: KubeletSettings): string {
  const { pki } = options.controlPlane;
  return stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { webhook: { enabled: true }, anonymous: { enabled: false }, x509: { clientCAFile: pki.ca } },
    authorization: { mode: 'Webhook' },
    tlsCertFile: pki.file(`${user}.crt`),
    tlsPrivateKeyFile: pki.file(`${user}.key`),
    port: kubeletPort,
    healthzPort: healthPort,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroup}`,
    cgroupsPerQOS: true,
    failCgroupV1: false,
    enforceNodeAllocatable: [],
    containerRuntimeEndpoint: `unix://${socket}`,
    failSwapOn: false,
    clusterDNS: [options.dnsAddress],
    clusterDomain: 'cluster.local',
    podLogsDir: join(directory, 'pod-logs'),
    nodeStatusUpdateFrequency: '4s',
    nodeLeaseDurationSeconds: 12,
    registerWithTaints: nodeTaints(spec),
    maxPods: 60,
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '0%',
      'imagefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.inodesFree': '0%',
    },
    kubeAPIQPS: 100,
    kubeAPIBurst: 200,
    serializeImagePulls: false,
    volumePluginDir: join(directory, 'volume-plugins'),
    staticPodPath: '',
  });
}
