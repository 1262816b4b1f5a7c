import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupNames, cgroupPids, cgroupPrefix, removeCgroup } from './cgroups.ts';
import { removeNetwork } from './network.ts';
import { CACHE } from './paths.ts';
import { attempt, kill, until } from './run.ts';

/**
 * Removes everything of the cluster in `directory`: processes, mounts, cgroups, network, files. It looks for them rather than into a
 * list, so that it also finds what a starter began and did not live to write down.
 */
export async function removeRemains(directory: string): Promise<void> {
  const prefix = cgroupPrefix(directory);
  await killAll('the processes of the cluster to end', () => [...processesOf(directory), ...cgroupNames(prefix).flatMap(cgroupPids)]);
  await unmountBelow(directory);
  for (const name of cgroupNames(prefix)) removeCgroup(name);
  await removeNetwork(directory);
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** Debian's, which runs beside a cluster where one is wanted. */
export const PROMETHEUS = '/usr/bin/prometheus';

/** kill -9 of what `find` finds, until it finds nothing: what is being born meanwhile is found the next time. */
export async function killAll(what: string, find: () => readonly number[]): Promise<void> {
  await until(what, 15_000, () => {
    const pids = find();
    for (const pid of pids) kill(pid, 'SIGKILL');
    return pids.length === 0;
  });
}

/** Tools of the cache that run with something in `directory`, and an operator that serves a cluster there. */
export function processesOf(directory: string): number[] {
  const tools = `${join(CACHE, 'tools')}/`;
  const read = (pid: string, file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const command = read(pid, 'cmdline');
        // A tool, the shell that starts one again, or what was installed for the cluster.
        const program = readlinkSync(`/proc/${pid}/exe`);
        if (program.startsWith(tools) || program === PROMETHEUS || command.includes(`\0${tools}`)) return command.includes(`${directory}/`);
        return command.includes('operator/main.ts') && read(pid, 'environ').includes(`VICUNA_KUBECONFIG=${directory}/`);
      } catch {
        return false; // it has just ended; or it is a thread of the kernel
      }
    })
    .map(Number);
}

/** Unmounts everything below the directory, the innermost first. */
export async function unmountBelow(directory: string): Promise<void> {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((mount) => mount.startsWith(`${directory}/`))
    .toSorted((a, b) => b.length - a.length);
  for (const mount of mounts) await attempt('umount', ['-l', mount]);
}

/** Copies the logs of a cluster that could not start to where its removal leaves them; returns where. */
export function rescueLogs(directory: string, name: string): string {
  const target = join(CACHE, 'logs', name);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const part of ['control-plane', 's3', ...nodeDirectories(directory)]) {
    if (!existsSync(join(directory, part))) continue;
    for (const file of readdirSync(join(directory, part)).filter((f) => f.endsWith('.log')))
      copyFileSync(join(directory, part, file), join(target, `${part.replaceAll('/', '-')}-${file}`));
  }
  return target;
}

function nodeDirectories(directory: string): string[] {
  const nodes = join(directory, 'nodes');
  return existsSync(nodes) ? readdirSync(nodes).map((name) => join('nodes', name)) : [];
}
