import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, type Daemon, startDaemon, until } from './run.ts';
import { toolPath } from './tools.ts';

const PAUSE_IMAGE = 'docker.io/vicuna/pause:dev';

/** Where the containerd of this directory keeps its images. */
export const storageOf = (directory: string): string => join(directory, 'containerd');

/** Starts a containerd that keeps everything in the directory, and finds its shim and CNI's programs in another. */
export function startContainerd(directory: string, binaries: string): { readonly socket: string; readonly daemon: Daemon } {
  const socket = join(directory, 'containerd.sock');
  const file = join(directory, 'containerd.toml');
  writeFileSync(file, config(directory, socket, binaries));
  const path = { PATH: `${binaries}:${process.env.PATH}` };
  const daemon = startDaemon('containerd', toolPath('containerd'), ['--config', file], join(directory, 'containerd.log'), path);
  return { socket, daemon };
}

export function untilAnswering(socket: string): Promise<void> {
  return until('containerd answering', 20_000, async () => (await attempt(toolPath('ctr'), ['-a', socket, 'version'])) !== null);
}

function config(directory: string, socket: string, binaries: string): string {
  return `version = 3
root = "${storageOf(directory)}"
state = "${join(directory, 'containerd-state')}"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "${socket}"

[plugins."io.containerd.cri.v1.runtime"]
  # Lowering a container's OOM score needs CAP_SYS_RESOURCE, which a container or micro-VM may lack.
  restrict_oom_score_adj = true
  disable_apparmor = true
  # Below the node's directory, where its removal finds them: a pinned network namespace keeps its interfaces for ever.
  netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["${binaries}"]
  conf_dir = "${join(directory, 'cni')}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${PAUSE_IMAGE}"
`;
}
