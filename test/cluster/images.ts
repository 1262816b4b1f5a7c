import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, ROOT } from './paths.ts';
import { run } from './run.ts';

/** Packages of the base image: an interpreter for pods whose heavy packages are mounted from the machine. */
const BASE_PACKAGES = 'python3-minimal,libpython3.11-stdlib,ca-certificates,busybox-static';
const IMAGES = join(CACHE, 'images');

/** Image archives for `ctr images import`: pause, and the trainer with the project's own Python in it. Built without a registry. */
export async function ensureImages(): Promise<string[]> {
  mkdirSync(IMAGES, { recursive: true });
  const base = await ensureBase();
  return [await ensureImage('vicuna/pause:dev', [base], ['/bin/busybox', 'sleep', '2147483647'], {}), await trainerImage(base)];
}

async function trainerImage(base: string): Promise<string> {
  const layer = await sourceLayer(join(ROOT, 'workloads', 'trainer', 'vicuna_trainer'), 'opt/vicuna/vicuna_trainer');
  const env = { PYTHONPATH: '/opt/vicuna:/opt/site-packages', PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' };
  return ensureImage('vicuna/trainer:dev', [base, layer], ['python3', '-m', 'vicuna_trainer.supervisor'], env);
}

/** The root file system of Debian 12 with Python, as a tar. */
async function ensureBase(): Promise<string> {
  const key = createHash('sha256').update(BASE_PACKAGES).digest('hex').slice(0, 12);
  const target = join(IMAGES, `base-${key}.tar`);
  if (existsSync(target)) return target;
  const scratch = mkdtempSync(join(IMAGES, 'base-'));
  const tar = join(scratch, 'rootfs.tar');
  const env = { SOURCE_DATE_EPOCH: '0' };
  await run('mmdebstrap', ['--quiet', '--variant=minbase', `--include=${BASE_PACKAGES}`, 'bookworm', tar], { env });
  renameSync(tar, target);
  rmSync(scratch, { recursive: true, force: true });
  return target;
}

/** A directory of the project as a layer, the same bytes for the same content. */
async function sourceLayer(directory: string, at: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((n) => n.endsWith('.py'))
    .sort()) {
    hash.update(name).update(readFileSync(join(directory, name)));
  }
  const target = join(IMAGES, `source-${hash.digest('hex').slice(0, 12)}.tar`);
  if (existsSync(target)) return target;
  const scratch = mkdtempSync(join(IMAGES, 'source-'));
  cpSync(directory, join(scratch, 'root', at), { recursive: true, filter: (path) => !path.includes('__pycache__') });
  const tar = join(scratch, 'layer.tar');
  await run('tar', [
    '--sort=name',
    '--mtime=@0',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '-cf',
    tar,
    '-C',
    join(scratch, 'root'),
    '.',
  ]);
  renameSync(tar, target);
  rmSync(scratch, { recursive: true, force: true });
  return target;
}

/** An image archive in Docker's format from layer tars. */
async function ensureImage(
  name: string,
  layers: readonly string[],
  command: readonly string[],
  env: Record<string, string>,
): Promise<string> {
  const digests = await Promise.all(layers.map(sha256));
  const config = {
    architecture: 'amd64',
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: {
      Cmd: command,
      User: '1000:1000',
      WorkingDir: '/tmp',
      Env: ['PATH=/usr/local/bin:/usr/bin:/bin', ...Object.entries(env).map(([k, v]) => `${k}=${v}`)],
    },
    rootfs: { type: 'layers', diff_ids: digests.map((d) => `sha256:${d}`) },
  };
  const text = JSON.stringify(config);
  const id = createHash('sha256').update(text).digest('hex');
  const target = join(IMAGES, `${name.replace(/[^a-z0-9]/g, '-')}-${id.slice(0, 12)}.tar`);
  if (existsSync(target)) return target;
  const scratch = mkdtempSync(join(IMAGES, 'image-'));
  writeFileSync(join(scratch, `${id}.json`), text);
  const names = digests.map((d) => `${d}.tar`);
  for (const [i, layer] of layers.entries()) await run('ln', [layer, join(scratch, names[i] ?? '')]);
  writeFileSync(join(scratch, 'manifest.json'), JSON.stringify([{ Config: `${id}.json`, RepoTags: [`docker.io/${name}`], Layers: names }]));
  await run('tar', ['--sort=name', '--mtime=@0', '-chf', `${target}.tmp`, '-C', scratch, 'manifest.json', `${id}.json`, ...names]);
  renameSync(`${target}.tmp`, target);
  rmSync(scratch, { recursive: true, force: true });
  return target;
}

async function sha256(file: string): Promise<string> {
  return ((await run('sha256sum', [file])).split(' ')[0] ?? '').trim();
}
