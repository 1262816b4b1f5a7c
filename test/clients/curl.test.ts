import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KEY, MODEL, Stack } from './stack.ts';

let stack: Stack;
const body = { model: MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4, temperature: 0 };

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.stop());

async function curl(path: string, data: string, ...options: string[]): Promise<{ status: number; text: string }> {
  const headers = ['-H', `authorization: Bearer ${KEY}`, '-H', 'content-type: application/json'];
  const args = ['-sS', '--max-time', '20', '-w', '\n%{http_code}', ...headers, '-d', data, ...options, stack.url + path];
  const { stdout } = await promisify(execFile)('curl', args);
  const at = stdout.lastIndexOf('\n');
  return { status: Number(stdout.slice(at + 1)), text: stdout.slice(0, at) };
}

describe('curl', () => {
  it('gets an answer', async () => {
    const { status, text } = await curl('/v1/chat/completions', JSON.stringify(body));
    expect(status).toBe(200);
    expect(JSON.parse(text).choices).toHaveLength(1);
  });

  it('gets a stream that ends as it should', async () => {
    const { status, text } = await curl('/v1/chat/completions', JSON.stringify({ ...body, stream: true }), '-N');
    expect(status).toBe(200);
    expect(text.trimEnd().endsWith('data: [DONE]')).toBe(true);
  });

  it("hears in OpenAI's form that its JSON is malformed", async () => {
    const { status, text } = await curl('/v1/chat/completions', '{"model":');
    expect(status).toBe(400);
    expect(JSON.parse(text).error.type).toBe('invalid_request_error');
  });

  it('reaches nothing by a path that climbs', async () => {
    const { status, text } = await curl('/v1/../../etc/passwd', '{}', '--path-as-is');
    expect(status).toBe(404);
    expect(JSON.parse(text).error).toBeDefined();
  });
});
