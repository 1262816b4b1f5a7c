// A real engine behind the gateway: greedy answers that break off go on as if nothing had been. Start one, such as
// `vllm serve MODEL --served-model-name tiny --shutdown-timeout 45`, and name it: VICUNA_ENGINE_URL=http://127.0.0.1:8000
// VICUNA_ENGINE_MODEL=tiny VICUNA_ENGINE=vllm npm run soak
import { once } from 'node:events';
import { request as ask, createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import pino from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { gatewayConfigSchema } from '../../operator/api/gateway-config.ts';
import { Gateway } from '../../workloads/gateway/gateway.ts';
import { createGatewayServer } from '../../workloads/gateway/server.ts';
import { readStream, type Streamed } from '../../workloads/gateway/testing/stage.ts';

const { VICUNA_ENGINE_URL: engineUrl, VICUNA_ENGINE_MODEL: model = '', VICUNA_ENGINE: engine = 'vllm' } = process.env;
const servers: Server[] = [];

async function listen(server: Server): Promise<string> {
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The engine, whose connections break in the middle of an answer after so many events. */
async function cutting(url: string): Promise<{ url: string; after: number; cut: number }> {
  const self = { url: '', after: 0, cut: 0 };
  self.url = await listen(
    createServer((incoming, response) => {
      const { method, url: path } = incoming;
      const upstream = ask(new URL(path ?? '', url), { method, headers: { 'content-type': 'application/json' } }, (answer) => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        let events = 0;
        answer.on('data', (data: Buffer) => {
          for (const event of data.toString('latin1').split(/(?<=\n\n)/)) {
            if (response.destroyed) return;
            if (events++ < self.after) response.write(event, 'latin1');
            else {
              self.cut++;
              answer.destroy();
              setImmediate(() => response.destroy());
              return;
            }
          }
        });
        answer.on('end', () => response.end()).on('error', () => {});
      });
      incoming.pipe(upstream.on('error', () => response.destroy()));
    }),
  );
  return self;
}

async function stream(base: string, path: string, body: object): Promise<Streamed> {
  const response = await fetch(base + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return readStream({ status: response.status, headers: response.headers, text: await response.text() });
}

afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

describe.skipIf(engineUrl === undefined)('a real engine (skipped without VICUNA_ENGINE_URL)', () => {
  it.each(['/v1/chat/completions', '/v1/completions'])('%s: the same text, reason and usage, wherever it breaks', async (path) => {
    const url = engineUrl ?? '';
    const broken = await cutting(url);
    const worker = { models: [model], engine };
    const config = (workers: object[]) => gatewayConfigSchema.parse({ models: [{ name: model }], workers });
    const gateway = new Gateway(config([{ ...worker, url: broken.url }]), {
      now: Date.now,
      random: Math.random,
      onDemand: () => {},
      onWorkerFailed: () => {},
    });
    const own = await listen(createGatewayServer({ gateway, log: pino({ level: 'silent' }), now: Date.now, handlers: [] }));
    for (const [i, question] of ['hello there', 'tell me a story', 'what is 2+2?', 'write code', 'who are you?', 'a b c'].entries()) {
      const asked = path.includes('chat') ? { messages: [{ role: 'user', content: question }] } : { prompt: question };
      const body = { model, ...asked, stream: true, stream_options: { include_usage: true }, temperature: 0, max_tokens: 40 };
      const undisturbed = await stream(url, path, body);
      broken.after = [1, 2, 5, 11, 20, 33][i] ?? 0;
      const before = broken.cut;
      gateway.configure(config([{ ...worker, url: broken.url }]));
      const pending = stream(own, path, body);
      await expect.poll(() => broken.cut, { timeout: 60_000 }).toBe(before + 1);
      gateway.configure(config([{ ...worker, url }]));
      const { text, finishReason, usage, done, error, ids } = await pending;
      expect({ text, finishReason, usage, done, error }).toEqual({
        text: undisturbed.text,
        finishReason: undisturbed.finishReason,
        usage: expect.objectContaining(pick(undisturbed.usage)),
        done: true,
        error: null,
      });
      expect(ids.size).toBe(1);
    }
  });
});

function pick(usage: unknown): object {
  const { prompt_tokens, completion_tokens, total_tokens } = usage as Record<string, number>;
  return { prompt_tokens, completion_tokens, total_tokens };
}
