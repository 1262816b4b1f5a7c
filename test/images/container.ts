import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, Fatal, until } from '../cluster/run.ts';
import { BUILDS, configOf, SCRATCH, withFiles } from './buildah.ts';

const RUNC = ['--root', join(BUILDS, 'runc')];

export interface Start {
  readonly args?: readonly string[];
  /** Instead of the image's entrypoint. */
  readonly entrypoint?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Files and directories of this machine by the path that the container sees them at. */
  readonly readable?: Readonly<Record<string, string>>;
  readonly writable?: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

export interface Running {
  readonly ended: Promise<Ended>;
  /** The body of a page, once it is there. */
  readonly page: (url: string, request?: RequestInit) => Promise<string>;
  /** Asks it to end, as a pod's deletion does. */
  readonly terminate: () => Promise<Ended>;
}

/** Runs an image as its pods do, to its end: see `whileRunning`. */
export function runImage(image: string, start: Start = {}): Promise<Ended> {
  return whileRunning(image, start, ({ ended }) => ended);
}

/**
 * Runs `work` beside a container of an image, as the image's own user, under what pods have: no capabilities, no new privileges, a
 * root file system that cannot be written, an empty /tmp. The network is this machine's. The container is gone afterwards.
 */
export function whileRunning<T>(image: string, start: Start, work: (container: Running) => Promise<T>): Promise<T> {
  return withFiles(image, async (root) => {
    const id = `vicuna-${randomUUID()}`;
    const bundle = join(SCRATCH, id);
    mkdirSync(bundle, { recursive: true });
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(runtimeConfig(await configOf(image), root, start)));
    const child = spawn('runc', [...RUNC, 'run', '--bundle', bundle, id], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    let isOver = false;
    const ended = new Promise<Ended>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        isOver = true;
        resolve({ code, output });
      });
    });
    const page = async (url: string, request?: RequestInit) => {
      let body = '';
      await until(`an answer from ${url}`, 120_000, async () => {
        if (isOver) throw new Fatal(`${image} ended before it answered at ${url}: ${output}`);
        const response = await fetch(url, request);
        body = await response.text();
        if (!response.ok) throw new Error(`${response.status} ${body} ${output}`);
        return true;
      });
      return body;
    };
    const signal = (name: string) => attempt('runc', [...RUNC, 'kill', id, name]);
    try {
      return await work({ ended, page, terminate: () => signal('TERM').then(() => ended) });
    } finally {
      await signal('KILL');
      await ended;
      await attempt('runc', [...RUNC, 'delete', '--force', id]);
      rmSync(bundle, { recursive: true, force: true });
    }
  });
}

/** https://github.com/opencontainers/runtime-spec */
function runtimeConfig(image: Awaited<ReturnType<typeof configOf>>, root: string, start: Start): object {
  const [uid, gid] = image.User.split(':').map(Number);
  const bind = (paths: Start['readable'], access: string) =>
    Object.entries(paths ?? {}).map(([destination, source]) => ({ destination, source, type: 'bind', options: ['rbind', access] }));
  return {
    ociVersion: '1.0.2',
    process: {
      user: { uid, gid },
      args: [...(start.entrypoint ?? image.Entrypoint), ...(start.args ?? [])],
      env: [...image.Env, ...Object.entries(start.env ?? {}).map(([name, value]) => `${name}=${value}`)],
      cwd: image.WorkingDir || '/',
      capabilities: {},
      noNewPrivileges: true,
    },
    root: { path: root, readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'nodev', 'noexec', 'mode=1777', 'size=64m'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777'] },
      ...bind(start.readable, 'ro'),
      ...bind(start.writable, 'rw'),
    ],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
  };
}
