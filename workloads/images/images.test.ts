// What the text of the Dockerfiles shows; test/images builds and runs them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { OPERATOR_FLAGS } from '../../operator/build.ts';
import { readConfig } from '../../operator/config.ts';
import { POD_SECURITY } from '../../operator/pods/restricted.ts';
import { GATEWAY_FLAGS } from '../gateway/build.ts';
import { NOTIFIER_FLAGS } from '../notifier/build.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const NODE = '/usr/local/bin/node';

/** What each image starts; where the operator's pods say it themselves, the same. `room` = the program's directory. */
const PROGRAMS: Readonly<Record<string, { readonly room: string; readonly entrypoint: readonly string[] }>> = {
  operator: { room: 'operator', entrypoint: [NODE, ...OPERATOR_FLAGS, '/opt/vicuna/operator/main.js'] },
  gateway: { room: 'workloads/gateway', entrypoint: [NODE, ...GATEWAY_FLAGS, '/opt/vicuna/gateway/main.js'] },
  trainer: { room: 'workloads/trainer', entrypoint: ['python3', '-m', 'vicuna_trainer.supervisor'] },
  engine: { room: 'workloads/engine', entrypoint: ['python3', '-m', 'vicuna_engine'] },
  data: { room: 'workloads/data', entrypoint: ['python3', '-m', 'vicuna_data'] },
  judge: { room: 'workloads/judge', entrypoint: [NODE, '/opt/vicuna/judge/main.js'] },
  notifier: {
    room: 'workloads/notifier',
    entrypoint: [NODE, ...NOTIFIER_FLAGS, '/opt/vicuna/notifier/main.cjs'],
  },
};

interface Instruction {
  readonly name: string;
  readonly value: string;
}

/** The instructions of each stage, continued lines joined. */
function stages(text: string): Instruction[][] {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const all: Instruction[][] = [[]];
  for (const line of lines) {
    const [name = ''] = line.split(' ');
    if (name === 'FROM') all.push([]);
    all.at(-1)?.push({ name, value: line.slice(name.length + 1) });
  }
  return all;
}

const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.Dockerfile'));

it('there is a Dockerfile for every image, and a program for every Dockerfile', () => {
  expect(files.map((f) => f.replace('.Dockerfile', '')).toSorted()).toEqual(Object.keys(PROGRAMS).toSorted());
  const { jobs } = parse(readFileSync(join(ROOT, '.github/workflows/release.yaml'), 'utf8'));
  expect(jobs.image.strategy.matrix.include.map((m: { image: string }) => m.image).toSorted()).toEqual(Object.keys(PROGRAMS).toSorted());
});

describe.each(files)('%s', (file) => {
  const name = file.replace('.Dockerfile', '');
  const [head = [], ...rest] = stages(readFileSync(join(import.meta.dirname, file), 'utf8'));
  const last = rest.at(-1) ?? [];
  const values = (instruction: string, of = last) => of.filter((i) => i.name === instruction).map((i) => i.value);

  it('starts from images of an exact version, which a build argument can replace by a digest', () => {
    const known = new Map(values('ARG', head).map((arg) => arg.split('=') as [string, string]));
    const stageNames = rest.flatMap((stage) => values('FROM', stage).flatMap((from) => / AS (\S+)/.exec(from)?.[1] ?? []));
    for (const from of rest.flatMap((stage) => values('FROM', stage))) {
      if (stageNames.includes(from.split(' ')[0] ?? '')) continue;
      const [, argument = ''] = /\$\{(\w+_IMAGE)\}/.exec(from) ?? [];
      const base = known.get(argument) ?? '';
      expect(base, `${from} in ${file}`).not.toBe('');
      expect(base).toMatch(/^docker\.io\/library\/\w+:\d+\.\d+\.\d+-|^gcr\.io\/distroless\/cc-debian12:nonroot$/);
    }
    const node = known.get('NODE_IMAGE');
    const version = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).devDependencies.node;
    if (node) expect(node).toContain(`:${version}-`);
  });

  it('runs as the user that the pods name, and says what it is', () => {
    expect(values('USER')).toEqual([`${POD_SECURITY.runAsUser}:${POD_SECURITY.runAsGroup}`]);
    const labels = values('LABEL').join(' ');
    for (const label of ['title', 'description', 'source', 'licenses', 'version', 'revision'])
      expect(labels).toContain(`org.opencontainers.image.${label}=`);
    expect(labels).toContain(`title="vicuna-${name}"`);
    // Nothing may be written but /tmp, which pods mount.
    expect(values('ENV').join(' ')).toContain('HOME=/tmp');
    expect(values('ADD')).toEqual([]);
  });

  it('lists what it has: a bundle in the stage that still has its packages', () => {
    const isBundle = rest.some((stage) => values('RUN', stage).some((command) => command.includes('/build.ts')));
    const listed = rest.filter((stage) => values('ARG', stage).includes('BUILDKIT_SBOM_SCAN_STAGE=true'));
    expect(listed.flatMap((stage) => values('RUN', stage)).map((command) => command.includes('npm ci'))).toEqual(isBundle ? [true] : []);
  });

  it('starts what the operator’s pods start', () => {
    expect(JSON.parse(values('ENTRYPOINT')[0] ?? 'null')).toEqual(PROGRAMS[name]?.entrypoint);
    expect(values('CMD')).toEqual([]);
  });

  // Rooms are built apart from each other: an image may be described before its program is there.
  it.skipIf(!existsSync(join(ROOT, PROGRAMS[name]?.room ?? '')))('copies what is there, if its program is there', () => {
    const copies = rest.flatMap((stage) => values('COPY', stage)).filter((copy) => !copy.startsWith('--from='));
    const sources = copies.flatMap((copy) => copy.split(' ').slice(0, -1));
    expect(sources.length).toBeGreaterThan(0);
    expect(sources.filter((source) => !existsSync(join(ROOT, source)))).toEqual([]);
    const builder = /import\('\/src\/([^']+)'\)\.then\(\(m\) => m\.(\w+)\(/.exec(rest.flatMap((stage) => values('RUN', stage)).join('\n'));
    if (builder) expect(readFileSync(join(ROOT, builder[1] ?? ''), 'utf8')).toContain(`export async function ${builder[2]}(`);
    const flags = PROGRAMS[name]?.entrypoint.filter((part) => part.startsWith('--')) ?? [];
    if (builder) for (const flag of flags) expect(readFileSync(join(ROOT, builder[1] ?? ''), 'utf8')).toContain(`'${flag}'`);
  });
});

it('the operator names images that the release makes', () => {
  for (const image of Object.values(readConfig({}).images)) {
    const [, name = ''] = /^ghcr\.io\/vicuna-operator\/(\w+):/.exec(image) ?? [];
    expect(Object.keys(PROGRAMS)).toContain(name);
  }
});
