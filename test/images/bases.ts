import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { debianRoot, IMAGES } from '../cluster/debian.ts';
import { BASE_PACKAGES } from '../cluster/images.ts';
import { withLock } from '../cluster/lock.ts';
import { run } from '../cluster/run.ts';
import { buildah, commit } from './buildah.ts';

/** Images that stand for the registries' own, by the arguments of the Dockerfiles that name them. */
export const BASES = {
  NODE_IMAGE: 'localhost/base/node:test',
  BASE_IMAGE: 'localhost/base/cc:test',
  PYTHON_IMAGE: 'localhost/base/python:test',
} as const;

/** What distroless/cc has: libraries that Node's binary loads, certificates and names of users. No shell, no program at all. */
const CC_FILES = [
  ...['./lib', './lib64', './usr/lib64', './tmp', './etc/passwd', './etc/group', './etc/nsswitch.conf', './etc/ssl/certs'],
  ...['ld-linux*', 'libc.so*', 'libm.so*', 'libdl.so*', 'libpthread.so*', 'librt.so*', 'libresolv.so*', 'libnss_*', 'libgcc_s.so*'].map(
    library,
  ),
  library('libstdc++.so*'),
];
const PYTHON_PACKAGES = 'python3-venv,python3-pip,ca-certificates';
/** As Node's own image has it. */
const NPM = 'npm@11.19.1';
/** Certificates that this machine trusts: its way to the package registries may need one that Debian does not have. */
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

function library(name: string): string {
  return `./usr/lib/x86_64-linux-gnu/${name}`;
}

/** Makes the bases out of Debian's packages and this machine's Node, where they are not there yet or are no longer right. */
export async function ensureBases(): Promise<void> {
  const [debian, python] = await withLock(join(IMAGES, '.lock'), async () => [
    await debianRoot(BASE_PACKAGES),
    await debianRoot(PYTHON_PACKAGES),
  ]);
  await ensureBase(BASES.NODE_IMAGE, [debian, process.version, NPM], ['NODE_EXTRA_CA_CERTS'], async (root) => {
    await unpack(debian, root);
    copyFileSync(process.execPath, join(root, 'usr/local/bin/node'));
    const npm = join(root, 'usr/local/lib/node_modules/npm');
    mkdirSync(npm, { recursive: true });
    const packed = (await run('npm', ['pack', NPM, '--silent'], { cwd: npm })).trim();
    await run('tar', ['-xzf', packed, '--strip-components=1'], { cwd: npm });
    rmSync(join(npm, packed));
    symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
  });
  await ensureBase(BASES.BASE_IMAGE, [debian, ...CC_FILES], [], (root) => unpack(debian, root, CC_FILES));
  await ensureBase(BASES.PYTHON_IMAGE, [python], ['PIP_CERT'], (root) => unpack(python, root));
}

/** `certificates` = the variables by which programs in the image are told of the machine's certificates. */
async function ensureBase(
  tag: string,
  madeFrom: readonly string[],
  certificates: readonly string[],
  fill: (root: string) => Promise<void>,
): Promise<void> {
  const trusted = existsSync(CERTIFICATES) ? readFileSync(CERTIFICATES) : '';
  const key = createHash('sha256').update(madeFrom.join()).update(trusted).digest('hex');
  const there = JSON.parse(await buildah('images', '--json', '--filter', `label=made-from=${key}`)) as { names?: string[] }[] | null;
  if (there?.some(({ names }) => names?.includes(tag))) return;
  const env = trusted ? certificates.flatMap((name) => ['--env', `${name}=${CERTIFICATES}`]) : [];
  await commit(tag, ['--label', `made-from=${key}`, ...env], async (root) => {
    await fill(root);
    if (trusted) copyFileSync(CERTIFICATES, join(root, CERTIFICATES));
  });
}

async function unpack(tar: string, root: string, only: readonly string[] = []): Promise<void> {
  await run('tar', ['--wildcards', '--exclude=./dev/*', '-xf', tar, '-C', root, ...only]);
}
