import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonSitePackages } from '../cluster/python.ts';
import { run } from '../cluster/run.ts';
import { pythonEnvironment, tinyModel } from '../demo/stage.ts';
import { freePort, KEY, Stack, until } from './stack.ts';

const MODEL = 'vicuna-tiny';
const LOCK = join(import.meta.dirname, 'fastchat.lock');
const directory = mkdtempSync(join(tmpdir(), 'vicuna-fastchat-'));
let stack: Stack;
let env: NodeJS.ProcessEnv;
const ended: Promise<unknown>[] = [];
const stop = new AbortController();

/** FastChat's model_worker, unchanged, for a controller of this address. */
function startWorker(controller: string, port: number): { ended: Promise<unknown>; words: () => string } {
  const address = `http://127.0.0.1:${port}`;
  const options = ['--model-path', join(directory, 'model'), '--model-names', MODEL, '--device', 'cpu', '--host', '127.0.0.1'];
  const where = ['--port', String(port), '--worker-address', address, '--controller-address', controller];
  const child = spawn('python3', ['-m', 'fastchat.serve.model_worker', ...options, ...where], {
    cwd: directory,
    env,
    signal: stop.signal,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let words = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      words += chunk.toString();
    });
  child.on('error', () => undefined);
  const exited = once(child, 'exit').catch(() => undefined);
  ended.push(exited);
  return { ended: exited, words: () => words };
}

beforeAll(async () => {
  const python = await pythonEnvironment();
  env = {
    ...process.env,
    PYTHONPATH: `${python.PYTHONPATH}:${await pythonSitePackages(LOCK)}`,
    PYTHONDONTWRITEBYTECODE: '1',
    OMP_NUM_THREADS: '1',
  };
  cpSync(await tinyModel(), join(directory, 'model'), { recursive: true });
  // FastChat reads a scaling's factor wherever there is a scaling, and the Transformers of today always tell of one.
  const file = join(directory, 'model', 'config.json');
  const { rope_parameters: _, ...config } = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ ...config, rope_theta: 10_000, rope_scaling: { rope_type: 'linear', factor: 1 } }));
  stack = await Stack.start({ registration: 'the-secret' });
}, 180_000);
afterAll(async () => {
  stop.abort();
  await Promise.all(ended);
  await stack?.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe("FastChat's model_worker", () => {
  it('plugs itself in by the secret in the address of its controller, and answers OpenAI’s clients', async () => {
    const worker = startWorker(stack.url.replace('http://', 'http://worker:the-secret@'), await freePort());
    const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };
    await until('the worker has registered', async () => {
      const models = (await (await fetch(`${stack.url}/v1/models`, { headers })).json()) as { data: { id: string }[] };
      return models.data.some(({ id }) => id === MODEL);
    }).catch((error: Error) => expect.fail(`${error.message}: ${worker.words()}`));
    const body = { model: MODEL, messages: [{ role: 'user', content: 'hello' }], max_tokens: 12, temperature: 0 };
    const ask = (more: object = {}) =>
      fetch(`${stack.url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify({ ...body, ...more }) });
    const whole = (await (await ask()).json()) as { choices: { message: { content: string }; finish_reason: string }[] };
    expect(whole.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: expect.stringMatching(/\w/) } });
    const streamed = await (await ask({ stream: true })).text();
    const pieces = [...streamed.matchAll(/^data: (\{.*)$/gm)].map(([, json]) => JSON.parse(json ?? '').choices[0].delta.content ?? '');
    expect(pieces.join('').trim()).toBe(whole.choices[0]?.message.content);
    expect(streamed.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('without the secret is refused, and is no model’s worker', async () => {
    const worker = startWorker(stack.url, await freePort());
    await worker.ended;
    expect(worker.words()).toContain('assert r.status_code == 200');
  });
});

describe("FastChat's test_message", () => {
  it('finds the worker through the gateway and has its answer', async () => {
    const controller = stack.url.replace('http://', 'http://worker:the-secret@');
    const args = ['-m', 'fastchat.serve.test_message', '--controller-address', controller, '--model-name', MODEL, '--message', 'hello'];
    const output = await run('python3', args, { env, cwd: directory });
    expect(output).toContain(`Models: ['tiny', '${MODEL}']`);
    expect(output).toMatch(/USER: hello\nASSISTANT: \S+/);
  });
});
