import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CGROUPS = '/sys/fs/cgroup';

/** What the names of all cgroups of the cluster in `directory` begin with: clusters never share one, whatever their nodes are called. */
export function cgroupPrefix(directory: string): string {
  return `vicuna-${createHash('sha256').update(directory).digest('hex').slice(0, 8)}-`;
}

/** All hierarchies that a process can be put into: one on v2, several on v1. */
function hierarchies(): string[] {
  if (existsSync(join(CGROUPS, 'cgroup.controllers'))) return [CGROUPS];
  return readdirSync(CGROUPS)
    .map((name) => join(CGROUPS, name))
    .filter((path) => statSync(path).isDirectory() && existsSync(join(path, 'cgroup.procs')));
}

export function makeCgroup(name: string): void {
  for (const hierarchy of hierarchies()) {
    const path = join(hierarchy, name);
    mkdirSync(path, { recursive: true });
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      // A v1 cpuset takes no process before it has CPUs and memory.
      if (existsSync(join(path, file)) && existsSync(join(hierarchy, file)))
        writeFileSync(join(path, file), readFileSync(join(hierarchy, file), 'utf8').trim());
    }
  }
}

/** Names of the cgroups that begin with `prefix`. */
export function cgroupNames(prefix: string): string[] {
  return [...new Set(hierarchies().flatMap((h) => readdirSync(h).filter((name) => name.startsWith(prefix))))];
}

/** The cgroup's directories in all hierarchies, inner ones first. */
function directories(name: string): string[] {
  const walk = (path: string): string[] => {
    try {
      return [...readdirSync(path, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? walk(join(path, e.name)) : [])), path];
    } catch {
      return []; // it has just gone
    }
  };
  return hierarchies().flatMap((h) => walk(join(h, name)));
}

/** Every process in the cgroup and below it. */
export function cgroupPids(name: string): number[] {
  const pids = directories(name).flatMap((path) => {
    try {
      return readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  });
  return [...new Set(pids)].filter((pid) => pid > 0);
}

export function removeCgroup(name: string): void {
  for (const path of directories(name)) {
    try {
      rmdirSync(path);
    } catch {
      // Still busy, or gone: a cgroup without processes costs nothing.
    }
  }
}
