import { createHash } from 'node:crypto';
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { buildOperator, OPERATOR_FLAGS } from '../../operator/build.ts';
import { buildGateway, GATEWAY_FLAGS } from '../../workloads/gateway/build.ts';
import { buildJudge } from '../../workloads/judge/build.ts';
import { buildNotifier, NOTIFIER_FLAGS } from '../../workloads/notifier/build.ts';
import { debianRoot, IMAGES } from './debian.ts';
import { withLock } from './lock.ts';
import { ROOT } from './paths.ts';
import { run } from './run.ts';
import { inScratch } from './scratch.ts';

/** Packages of the base image, Debian 12: an interpreter for pods whose heavy packages are mounted from the machine. */
export const BASE_PACKAGES = 'python3-minimal,libpython3.11-stdlib,ca-certificates,busybox-static';

/** An archive for `ctr images import`: pause, and the project's own programs. Built without a registry. */
export function ensureImages(): Promise<string> {
  return withLock(join(IMAGES, '.lock'), makeImages);
}

async function makeImages(): Promise<string> {
  const base = await debianRoot(BASE_PACKAGES);
  const python = (room: string, name: string) => directoryLayer(join(ROOT, 'workloads', room, name), `opt/vicuna/${name}`);
  const trainer = await python('trainer', 'vicuna_trainer');
  const engine = await python('engine', 'vicuna_engine');
  const data = await python('data', 'vicuna_data');
  const node = await directoryLayer(dirname(process.execPath), 'usr/local/bin', {
    only: [basename(process.execPath)],
    key: process.version,
  });
  const gateway = await builtLayer(buildGateway, 'opt/vicuna/gateway');
  const operator = await builtLayer(buildOperator, 'opt/vicuna/operator');
  const notifier = await builtLayer(buildNotifier, 'opt/vicuna/notifier');
  const judge = await builtLayer(buildJudge, 'opt/vicuna/judge');
  const env = { PYTHONPATH: '/opt/vicuna:/opt/site-packages', PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' };
  return ensureArchive([
    { name: 'vicuna/pause:dev', layers: [base], command: ['/bin/busybox', 'sleep', '2147483647'], env: {} },
    { name: 'vicuna/trainer:dev', layers: [base, trainer], command: ['python3', '-m', 'vicuna_trainer.supervisor'], env },
    {
      name: 'vicuna/gateway:dev',
      layers: [base, node, gateway],
      command: ['node', ...GATEWAY_FLAGS, '/opt/vicuna/gateway/main.js'],
      env: {},
    },
    {
      name: 'vicuna/operator:dev',
      layers: [base, node, operator],
      command: ['node', ...OPERATOR_FLAGS, '/opt/vicuna/operator/main.js'],
      env: {},
    },
    {
      name: 'vicuna/notifier:dev',
      layers: [base, node, notifier],
      command: ['node', ...NOTIFIER_FLAGS, '/opt/vicuna/notifier/main.cjs'],
      env: {},
    },
    { name: 'vicuna/judge:dev', layers: [base, node, judge], command: ['node', '/opt/vicuna/judge/main.js'], env: {} },
    { name: 'vicuna/data:dev', layers: [base, trainer, data], command: ['python3', '-m', 'vicuna_data'], env },
    { name: 'vicuna/engine:dev', layers: [base, trainer, engine], command: ['python3', '-m', 'vicuna_engine'], env },
  ]);
}

interface Image {
  readonly name: string;
  readonly layers: readonly string[];
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A program, built as its image has it. */
async function builtLayer(build: (directory: string) => Promise<string>, at: string): Promise<string> {
  return inScratch(IMAGES, async (scratch) => {
    await build(scratch);
    return directoryLayer(scratch, at);
  });
}

interface LayerOptions {
  /** Files to take. Default: all but Python's compiled ones. */
  readonly only?: readonly string[];
  /** What tells one content from another. Default: the content. */
  readonly key?: string;
}

/** A directory as a layer, the same bytes for the same content. */
async function directoryLayer(directory: string, at: string, { only, key }: LayerOptions = {}): Promise<string> {
  const names = (only ?? readdirSync(directory, { recursive: true, encoding: 'utf8' }))
    .filter((name) => !name.includes('__pycache__') && statSync(join(directory, name)).isFile())
    .toSorted();
  const hash = createHash('sha256').update(at);
  for (const name of names) hash.update(name).update(key ?? readFileSync(join(directory, name)));
  const target = join(IMAGES, `layer-${hash.digest('hex').slice(0, 12)}.tar`);
  if (existsSync(target)) return target;
  await inScratch(IMAGES, async (scratch) => {
    const root = join(scratch, 'root');
    for (const name of names) cpSync(join(directory, name), join(root, at, name));
    const tar = join(scratch, 'layer.tar');
    await run('tar', [
      '--sort=name',
      '--mtime=@0',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '--mode=a+rX',
      '-cf',
      tar,
      '-C',
      root,
      '.',
    ]);
    renameSync(tar, target);
  });
  return target;
}

/** Images in Docker's archive format; a layer that several share is in it once. */
async function ensureArchive(images: readonly Image[]): Promise<string> {
  const digests = new Map<string, string>();
  for (const layer of new Set(images.flatMap((i) => i.layers))) digests.set(layer, await sha256(layer));
  const digestOf = (layer: string) => digests.get(layer) ?? '';
  const configs = images.map((image) => imageConfig(image, image.layers.map(digestOf)));
  const key = createHash('sha256').update(JSON.stringify(configs)).digest('hex').slice(0, 12);
  const target = join(IMAGES, `images-${key}.tar`);
  if (existsSync(target)) return target;
  await inScratch(IMAGES, async (scratch) => {
    const content = join(scratch, 'content');
    mkdirSync(content);
    const manifest = images.map((image, i) => {
      const text = JSON.stringify(configs[i]);
      const config = `${createHash('sha256').update(text).digest('hex')}.json`;
      writeFileSync(join(content, config), text);
      return { Config: config, RepoTags: [`docker.io/${image.name}`], Layers: image.layers.map((layer) => `${digestOf(layer)}.tar`) };
    });
    for (const [layer, digest] of digests) linkSync(layer, join(content, `${digest}.tar`));
    writeFileSync(join(content, 'manifest.json'), JSON.stringify(manifest));
    const tar = join(scratch, 'images.tar');
    await run('tar', ['--sort=name', '--mtime=@0', '-cf', tar, '-C', content, ...readdirSync(content)]);
    renameSync(tar, target);
  });
  return target;
}

function imageConfig(image: Image, digests: readonly string[]): object {
  return {
    architecture: 'amd64',
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: {
      Cmd: image.command,
      User: '1000:1000',
      WorkingDir: '/tmp',
      Env: ['PATH=/usr/local/bin:/usr/bin:/bin', ...Object.entries(image.env).map(([k, v]) => `${k}=${v}`)],
    },
    rootfs: { type: 'layers', diff_ids: digests.map((d) => `sha256:${d}`) },
  };
}

async function sha256(file: string): Promise<string> {
  return ((await run('sha256sum', [file])).split(' ')[0] ?? '').trim();
}
