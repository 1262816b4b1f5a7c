import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { pythonSitePackages } from '../cluster/python.ts';
import { run } from '../cluster/run.ts';
import { KEY, LIMITED_KEY, MODEL, Stack } from './stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.stop());

describe("OpenAI's Python client", () => {
  it('gets answers, streams, completions, models, errors and limits as from OpenAI', async () => {
    const site = await pythonSitePackages(join(import.meta.dirname, 'openai.lock'));
    const args = [join(import.meta.dirname, 'python_client.py'), stack.url, KEY, LIMITED_KEY, MODEL];
    await run('python3', args, { env: { PYTHONPATH: site, PYTHONDONTWRITEBYTECODE: '1' } });
  });
});
