// The Dockerfiles, built without a registry: their bases are stand-ins made of Debian's packages and this machine's Node, and the trainer
// and the engine find the gigabytes of torch and CUDA in a mount instead of their image. All else is built and run as it is released.
import { chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensurePackages } from '../cluster/apt.ts';
import { freePorts } from '../cluster/control-plane.ts';
import { withLock } from '../cluster/lock.ts';
import { ROOT } from '../cluster/paths.ts';
import { pythonSitePackages } from '../cluster/python.ts';
import { CONVERSATIONS, tinyModel } from '../demo/stage.ts';
import { BASES, ensureBases } from './bases.ts';
import { BUILDS, build, SCRATCH, tidy } from './buildah.ts';
import { runImage, whileRunning } from './container.ts';
import { heavyPackages, writeLightContext } from './context.ts';
import { filesOf } from './files.ts';

const PACKAGES = { buildah: '/usr/bin/buildah', runc: '/usr/sbin/runc', mmdebstrap: '/usr/bin/mmdebstrap' };
const NODE = '/usr/local/bin/node';
const MB = 1_000_000;

/** What each image adds to its base, and how many MB of it at most; Node itself has 127. */
const IMAGES: Readonly<Record<string, { readonly adds: readonly string[]; readonly megabytes: number }>> = {
  operator: { adds: [NODE, '/opt/vicuna/operator/'], megabytes: 140 },
  gateway: { adds: [NODE, '/opt/vicuna/gateway/'], megabytes: 132 },
  notifier: { adds: [NODE, '/opt/vicuna/notifier/'], megabytes: 130 },
  judge: { adds: [NODE, '/opt/vicuna/judge/'], megabytes: 132 },
  data: { adds: ['/opt/venv/', '/opt/vicuna/vicuna_data/', '/opt/vicuna/vicuna_trainer/'], megabytes: 430 },
  trainer: { adds: ['/opt/venv/', '/opt/vicuna/vicuna_trainer/'], megabytes: 300 },
  engine: { adds: ['/opt/venv/', '/opt/vicuna/vicuna_engine/', '/opt/vicuna/vicuna_trainer/'], megabytes: 300 },
};
const ofPython = (name: string) => IMAGES[name]?.adds.includes('/opt/venv/') ?? false;
const tagOf = (name: string) => `localhost/vicuna/${name}:test`;
const dockerfile = (name: string) => join(ROOT, 'workloads', 'images', `${name}.Dockerfile`);

/** Why images cannot be built here, or null. */
function obstacle(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'images are built on Linux on x86-64';
  if (process.getuid?.() !== 0) return 'building images needs root';
  const missing = Object.entries(PACKAGES).flatMap(([name, file]) => (existsSync(file) ? [] : [name]));
  return missing.length > 0 && !existsSync('/usr/bin/apt-get') ? `${missing.join(', ')} is not there, nor apt-get to install it` : null;
}

describe.skipIf(obstacle() !== null)(`the images (${obstacle() ?? 'built here'})`, () => {
  let directory: string;
  let release: () => void;
  let light: string;

  beforeAll(async () => {
    await ensurePackages(PACKAGES);
    mkdirSync(BUILDS, { recursive: true });
    release = await hold(join(BUILDS, '.lock'));
    await tidy();
    mkdirSync(SCRATCH);
    directory = mkdtempSync(join(SCRATCH, 'test-'));
    await ensureBases();
    light = join(directory, 'light');
    writeLightContext(light);
    // Under names of their own, what takes minutes stays when the rest of a build is tidied away.
    for (const name of ['operator', 'data', 'engine'])
      await build({ ...buildOf(name), tag: `localhost/packages/${name}:test`, target: 'packages' });
  }, 900_000);

  afterAll(async () => {
    if (release === undefined) return; // nothing has begun
    await tidy();
    release();
  }, 60_000);

  const buildOf = (name: string) => ({
    dockerfile: dockerfile(name),
    context: name === 'trainer' || name === 'engine' ? light : ROOT,
    tag: tagOf(name),
    bases: BASES,
  });
  const scratch = (name: string) => {
    const path = mkdtempSync(join(directory, `${name}-`));
    chownSync(path, 1000, 1000);
    return path;
  };

  describe.each(Object.entries(IMAGES))('%s', (name, { adds, megabytes }) => {
    beforeAll(async () => {
      await build(buildOf(name));
    }, 300_000);

    it('adds its program to the base and nothing else, and is small', async () => {
      const [files, base] = await Promise.all([filesOf(tagOf(name)), filesOf(ofPython(name) ? BASES.PYTHON_IMAGE : BASES.BASE_IMAGE)]);
      const added = [...files].filter(([path, bytes]) => base.get(path) !== bytes);
      const paths = added.map(([path]) => path);
      expect(paths.filter((path) => !adds.some((a) => path.startsWith(a)))).toEqual([]);
      expect(adds.filter((a) => !paths.some((path) => path.startsWith(a)))).toEqual([]);
      expect([...base.keys()].filter((path) => !files.has(path))).toEqual([]);
      const ours = paths.filter((path) => path.startsWith('/opt/vicuna/'));
      expect(ours.filter((path) => /\.test\.|\/tests?\/|\/testing\/|\/bench\/|node_modules|\.ts$/.test(path))).toEqual([]);
      expect(paths.filter((path) => /__pycache__|\/(pip|pytest|ruff)\/|\/requirements[\w-]*\.lock$/.test(path))).toEqual([]);
      const bytes = added.reduce((sum, [, size]) => sum + size, 0);
      console.log(`${name}: ${(bytes / MB).toFixed(1)} MB on its base`);
      expect(bytes / MB).toBeLessThan(megabytes);
    });

    it('runs as a user that is not root, can do nothing that root can, and writes nowhere but to /tmp', async () => {
      const probe = ofPython(name) ? PYTHON_PROBE : NODE_PROBE;
      const entrypoint = ofPython(name) ? ['python3', '-c', probe] : [NODE, '-e', probe];
      const { code, output } = await runImage(tagOf(name), { entrypoint });
      expect(output).toMatch(/^\{.*\}\n$/);
      expect(JSON.parse(output)).toEqual({ uid: 1000, gid: 1000, capabilities: '0000000000000000', written: ['/tmp'] });
      expect(code).toBe(0);
    });
  });

  describe('what they say', () => {
    it('the operator asks for a cluster', async () => {
      const { code, output } = await runImage(tagOf('operator'));
      expect(output).toBe('the default kubeconfig cannot be read: there is none: set KUBECONFIG to a file, or put one at ~/.kube/config\n');
      expect(code).toBe(1);
    });

    it('the gateway answers from a file, shows its page, and ends when told to', async () => {
      const file = join(scratch('gateway'), 'gateway.json');
      writeFileSync(file, JSON.stringify({ models: [{ name: 'vicuna-13b' }], workers: [] }));
      const [port, privatePort] = await freePorts(2);
      const env = { VICUNA_GATEWAY_CONFIG: '/config.json', VICUNA_PORT: `${port}`, VICUNA_PRIVATE_PORT: `${privatePort}` };
      const { code } = await whileRunning(tagOf('gateway'), { env, readable: { '/config.json': file } }, async ({ page, terminate }) => {
        const models = await page(`http://127.0.0.1:${port}/v1/models`);
        expect((JSON.parse(models) as { data: { id: string }[] }).data.map(({ id }) => id)).toEqual(['vicuna-13b']);
        expect(await page(`http://127.0.0.1:${port}/`)).toContain('<!doctype html>');
        expect(await page(`http://127.0.0.1:${privatePort}/metrics`)).toContain('# TYPE');
        return terminate();
      });
      expect(code).toBe(0);
    });

    it('the notifier asks for its node', async () => {
      const { code, output } = await runImage(tagOf('notifier'));
      expect(output).toBe('NODE_NAME is not set: give it the value of spec.nodeName, by the downward API\n');
      expect(code).toBe(1);
    });

    it('the notifier starts and serves its metrics', async () => {
      const account = scratch('account');
      for (const name of ['token', 'ca.crt']) writeFileSync(join(account, name), '');
      const [port, apiPort] = await freePorts(2);
      const api = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: `${apiPort}` };
      const env = { ...api, NODE_NAME: 'n1', CLOUD: 'none', VICUNA_PORT: `${port}`, VICUNA_ACCOUNT_DIRECTORY: '/account' };
      const { code } = await whileRunning(tagOf('notifier'), { env, readable: { '/account': account } }, async ({ page, terminate }) => {
        expect(await page(`http://127.0.0.1:${port}/healthz`)).toBe('ok\n');
        return terminate();
      });
      expect(code).toBe(0);
    });

    it('the judge has its help, the blog’s questions and its page', async () => {
      expect((await runImage(tagOf('judge'), { args: ['--help'] })).output).toContain('COMMAND [OPTIONS]');
      expect((await filesOf(tagOf('judge'))).has('/opt/vicuna/judge/vicuna-80.jsonl')).toBe(true);
      const out = scratch('viewer');
      const { code, output } = await runImage(tagOf('judge'), {
        args: ['viewer', '--data', '/data', '--out', '/out'],
        readable: { '/data': join(ROOT, 'examples', 'evaluation') },
        writable: { '/out': out },
      });
      expect(code, output).toBe(0);
      expect(readFileSync(join(out, 'index.html'), 'utf8')).toContain('<!doctype html>');
    });

    it('the data pipeline makes a training set', async () => {
      const out = scratch('data');
      const { code, output } = await runImage(tagOf('data'), {
        args: ['prepare', '--source', '/in/conversations.jsonl', '--tokenizer', '/tokenizer', '--output', '/out'],
        readable: { '/in': dirname(CONVERSATIONS), '/tokenizer': await tinyModel() },
        writable: { '/out': out },
      });
      expect(code, output).toBe(0);
      expect(JSON.parse(readFileSync(join(out, 'card.json'), 'utf8'))).toMatchObject({ result: { kept: 480 } });
    }, 120_000);

    it('the trainer’s supervisor asks for its operator', async () => {
      const { code, output } = await runImage(tagOf('trainer'), { readable: heavyPackages(await pythonSitePackages()) });
      expect(output).toBe("supervisor: the pod's environment is incomplete: KeyError('VICUNA_POD_NAME'). Start it by the operator.\n");
      expect(code).toBe(64);
    });

    it('the engine serves a model', async () => {
      const [port] = await freePorts(1);
      const options = [
        '--model',
        'file:///model',
        '--served-model-name',
        'tiny',
        '--host',
        '127.0.0.1',
        '--port',
        `${port}`,
        '--device',
        'cpu',
      ];
      const readable = { ...heavyPackages(await pythonSitePackages()), '/model': await tinyModel() };
      await whileRunning(tagOf('engine'), { args: options, env: { OMP_NUM_THREADS: '1' }, readable }, async ({ page }) => {
        await page(`http://127.0.0.1:${port}/health`);
        const body = JSON.stringify({ model: 'tiny', prompt: 'Hello', max_tokens: 4 });
        const answer = await page(`http://127.0.0.1:${port}/v1/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
        expect((JSON.parse(answer) as { usage: { completion_tokens: number } }).usage.completion_tokens).toBeGreaterThan(0);
      });
    }, 180_000);
  });

  it('the same sources make the same bytes, elsewhere and later', async () => {
    const context = join(directory, 'elsewhere');
    for (const path of ['.dockerignore', 'operator']) cpSync(join(ROOT, path), join(context, path), { recursive: true });
    // Only the packages are not installed anew, which takes minutes: their lock file has their hashes.
    const again = join(directory, 'operator.Dockerfile');
    const text = readFileSync(dockerfile('operator'), 'utf8');
    writeFileSync(again, text.replace(/^FROM .* AS packages\n(?:.+\n)+/m, 'FROM localhost/packages/operator:test AS packages\n'));
    const first = await build(buildOf('operator'));
    const second = await build({ dockerfile: again, context, tag: 'localhost/again/operator:test', bases: BASES, anew: true });
    expect(second).toBe(first);
  }, 300_000);
});

/** Takes a lock; what it resolves to gives it back. */
function hold(file: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    withLock(file, () => new Promise<void>((done) => resolve(done))).catch(reject);
  });
}

const PLACES = JSON.stringify(['/', '/opt/vicuna', '/usr/local/bin', '/etc', '/var', '/tmp']);
const NODE_PROBE = `
const { readFileSync, writeFileSync } = require('node:fs');
const written = ${PLACES}.filter((place) => {
  try { writeFileSync(place + '/probe', ''); return true; } catch { return false; }
});
const capabilities = /CapEff:\\s*(\\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
console.log(JSON.stringify({ uid: process.getuid(), gid: process.getgid(), capabilities, written }));
`;
const PYTHON_PROBE = `
import json, os
def writes(place):
    try:
        open(place + '/probe', 'w').close()
        return True
    except OSError:
        return False
capabilities = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff'))
print(json.dumps({'uid': os.getuid(), 'gid': os.getgid(), 'capabilities': capabilities, 'written': [p for p in ${PLACES} if writes(p)]}))
`;
