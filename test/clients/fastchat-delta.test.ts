import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { pythonSitePackages } from '../cluster/python.ts';
import { run } from '../cluster/run.ts';
import { pythonEnvironment } from '../demo/stage.ts';

const directory = mkdtempSync(join(tmpdir(), 'vicuna-delta-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("FastChat's delta weights", () => {
  it('are the ones that mode additive makes; its apply_delta restores ours, and ours its', async () => {
    const python = await pythonEnvironment();
    const fastchat = await pythonSitePackages(join(import.meta.dirname, 'fastchat.lock'));
    const env = { ...python, PYTHONPATH: `${python.PYTHONPATH}:${fastchat}` };
    const words = await run('python3', [join(import.meta.dirname, 'fastchat_delta.py'), directory], { env });
    expect(JSON.parse(words.trim().split('\n').at(-1) ?? '')).toEqual({
      tensors: 21,
      sameDelta: true,
      theyRestoreOurs: true,
      weRestoreTheirs: true,
      verified: { ours: true, theirs: false },
    });
  });
});
