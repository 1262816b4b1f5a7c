import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE } from '../cluster/paths.ts';
import { attempt, run } from '../cluster/run.ts';

/** Everything of these builds: images, layers, what is unpacked of them, and the package managers' caches. The machine's own images are left alone. */
export const BUILDS = join(CACHE, 'image-builds');
/** What one run of the tests needs. */
export const SCRATCH = join(BUILDS, 'scratch');
const STORE = ['--root', join(BUILDS, 'store'), '--runroot', join(BUILDS, 'run'), '--storage-driver', 'overlay'];

export async function buildah(...args: string[]): Promise<string> {
  // What RUN mounts as a cache is kept below TMPDIR.
  return (await run('buildah', [...STORE, ...args], { env: { TMPDIR: BUILDS } })).trim();
}

export interface Build {
  readonly dockerfile: string;
  readonly context: string;
  readonly tag: string;
  /** Images by the arguments of the Dockerfile that name them. */
  readonly bases: Readonly<Record<string, string>>;
  /** The stage to stop at. */
  readonly target?: string;
  /** Nothing of earlier builds is used. */
  readonly anew?: boolean;
}

/** Builds a Dockerfile as the release does, but for the bases; the image's id, which is the digest of all that is in it. */
export async function build({ dockerfile, context, tag, bases, target, anew = false }: Build): Promise<string> {
  const args = Object.entries({ ...bases, VERSION: '0.0.0', REVISION: 'test' }).flatMap(([name, value]) => [
    '--build-arg',
    `${name}=${value}`,
  ]);
  return buildah(
    ...['build', '--quiet', '--isolation', 'chroot', '--pull-never', '--timestamp', '0', '--layers'],
    ...(anew ? ['--no-cache'] : []),
    ...(target ? ['--target', target] : []),
    ...args,
    ...['--ignorefile', join(context, '.dockerignore'), '--file', dockerfile, '--tag', tag, context],
  );
}

/** An image from a container that `fill` has put files into. */
export async function commit(tag: string, config: readonly string[], fill: (root: string) => Promise<void>): Promise<void> {
  const container = await buildah('from', 'scratch');
  await fill(await buildah('mount', container));
  await buildah('config', ...config, container);
  await buildah('commit', '--quiet', '--rm', '--timestamp', '0', container, tag);
}

/** Runs `work` with the directory of an image's files, which it may change for itself. */
export async function withFiles<T>(image: string, work: (root: string) => Promise<T> | T): Promise<T> {
  const container = await buildah('from', '--pull-never', image);
  try {
    return await work(await buildah('mount', container));
  } finally {
    await buildah('rm', container);
  }
}

/** What an image says of how to run it. */
export async function configOf(image: string): Promise<{ User: string; Entrypoint: string[]; Env: string[]; WorkingDir?: string }> {
  return JSON.parse(await buildah('inspect', '--type', 'image', image)).OCIv1.config;
}

/** Takes away what a run leaves, whether it ended or was killed: containers, files, and images without a name, as layers of earlier builds are. */
export async function tidy(): Promise<void> {
  await attempt('buildah', [...STORE, 'rm', '--all']);
  await buildah('rmi', '--prune');
  rmSync(SCRATCH, { recursive: true, force: true });
}
