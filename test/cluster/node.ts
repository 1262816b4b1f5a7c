import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { cgroupPids, cgroupPrefix, makeCgroup, removeCgroup } from './cgroups.ts';
import { startContainerd, storageOf, untilAnswering } from './containerd.ts';
import type { ControlPlane } from './control-plane.ts';
import { freePorts } from './control-plane.ts';
import { placeImages } from './image-store.ts';
import { bridgeName, gatewayAddress, makeBridge, removeBridge } from './network.ts';
import { type NodeSpec, nodeLabels, nodeTaints } from './node-profiles.ts';
import { killAll, processesOf, unmountBelow } from './remains.ts';
import { run, startDaemon } from './run.ts';
import type { ToolName } from './tool-versions.ts';
import { toolPath } from './tools.ts';

/** What is needed to take a node away again, also by a later process. */
export interface NodeState {
  readonly spec: NodeSpec;
  readonly directory: string;
  /** Which 10.200.<index>.0/24 its pods get. */
  readonly index: number;
  readonly cgroup: string;
  readonly pids: readonly number[];
}

export interface NodeOptions {
  readonly controlPlane: ControlPlane;
  /** Directory of the cluster. */
  readonly directory: string;
  readonly index: number;
  /** Store of the images that every node has. */
  readonly images: string;
  readonly dnsAddress: string;
}

/** Starts containerd and kubelet for one node, each with directories, ports, network and cgroups of its own. */
export async function startNode(spec: NodeSpec, options: NodeOptions): Promise<NodeState> {
  const { controlPlane, index } = options;
  const directory = join(nodesDirectory(options.directory), spec.name);
  mkdirSync(directory, { recursive: true });
  const gateway = gatewayAddress(index);
  const cgroup = `${cgroupPrefix(options.directory)}${index}`;
  makeCgroup(cgroup);
  await makeBridge(index, options.directory);
  const [kubeletPort = 0, healthPort = 0] = await freePorts(2);
  writeCni(directory, index);
  const path = `${binDirectory(directory)}:${process.env.PATH}`;
  await placeImages(options.images, storageOf(directory));
  const { socket, daemon: containerd } = startContainerd(directory, binDirectory(directory));
  const user = `node-${spec.name}`;
  await controlPlane.pki.issue(user, `/O=system:nodes/CN=system:node:${spec.name}`, [gateway, spec.name]);
  const kubeconfig = join(directory, 'kubeconfig');
  controlPlane.pki.kubeconfig(kubeconfig, user, controlPlane.url);
  await untilAnswering(socket);
  writeFileSync(
    join(directory, 'kubelet.yaml'),
    kubeletConfig({ spec, options, directory, socket, kubeletPort, healthPort, cgroup, user }),
  );
  const kubelet = startDaemon(
    'kubelet',
    '/bin/sh',
    [
      ...KEPT_RUNNING,
      toolPath('kubelet'),
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
  return { spec, directory, index, cgroup, pids: [kubelet.pid, containerd.pid] };
}

/**
 * All kubelets of a machine listen for device plugins on one fixed path, and two that start at the same moment may collide there. A
 * kubelet that ends is started again, as systemd would do, but not for ever: what is wrong for good shall be told.
 */
const KEPT_RUNNING = ['-c', 'for start in 1 2 3; do "$@"; sleep 0.5; done', 'sh'];

/** A kubelet may set only some of the labels in kubernetes.io's space by itself. */
function isSettable(key: string): boolean {
  return !key.includes('kubernetes.io/') || key.startsWith('topology.kubernetes.io/') || key.startsWith('node.kubernetes.io/');
}

/** Ends everything of the node at once, as a cloud that takes the machine away: nothing gets to say goodbye. */
export async function killNode({ spec, directory, cgroup }: NodeState): Promise<void> {
  // Containers outlive their shims, and shims outlive containerd: the cgroups know them all. Never by a pid from the state file: after a
  // restart of the machine it may be anybody's.
  await killAll(`everything on ${spec.name} to end`, () => [...processesOf(directory), ...cgroupPids(cgroup)]);
}

/** Removes what a killed node leaves behind: mounts, network, cgroups, directory. */
export async function removeNodeRemains({ directory, index, cgroup }: NodeState): Promise<void> {
  await unmountBelow(directory);
  await removeBridge(index);
  removeCgroup(cgroup);
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

function nodesDirectory(cluster: string): string {
  return join(cluster, 'nodes');
}

/** One directory with the tools that containerd looks for on its path. */
function binDirectory(directory: string): string {
  return join(directory, '..', 'bin');
}

/** Links the tools that containerd and CNI look for by name into one directory. */
export async function linkTools(cluster: string): Promise<void> {
  const bin = join(nodesDirectory(cluster), 'bin');
  mkdirSync(bin, { recursive: true });
  const names: ToolName[] = ['containerd-shim-runc-v2', 'bridge', 'host-local', 'loopback', 'ctr'];
  for (const name of names) await run('ln', ['-sf', toolPath(name), join(bin, name)]);
}

function writeCni(directory: string, index: number): void {
  const cni = join(directory, 'cni');
  mkdirSync(cni, { recursive: true });
  const config = {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: bridgeName(index),
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
    // They would stay in the machine's firewall when the cluster is gone, and be passed by every packet.
    makeIPTablesUtilChains: false,
  });
}
