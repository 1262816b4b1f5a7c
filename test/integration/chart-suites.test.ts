// The chart's own suites (charts/vicuna-operator/tests), run by helm-unittest.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHART, helm } from '../cluster/chart.ts';
import { run } from '../cluster/run.ts';
import { ensureTools } from '../cluster/tools.ts';

const SUITES = readdirSync(join(CHART, 'tests')).filter((file) => file.endsWith('_test.yaml'));

let tools: Awaited<ReturnType<typeof ensureTools>>;
beforeAll(async () => {
  tools = await ensureTools(['helm', 'helm-unittest'], (tool, how) => console.log(`${how} ${tool} …`));
}, 600_000);
// It makes this directory for snapshots, also where there are none.
afterAll(() => rmSync(join(CHART, 'tests', '__snapshot__'), { recursive: true, force: true }));

describe('helm-unittest', () => {
  it.each(SUITES)('passes %s', (file) => {
    const { status, stdout, stderr } = spawnSync(tools['helm-unittest'], ['--strict', '--file', join('tests', file), CHART], {
      encoding: 'utf8',
    });
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^Tests: +[1-9]\d* passed, [1-9]\d* total$/m);
  });

  it('has suites that are no part of the package', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'vicuna-package-'));
    try {
      await helm('helm', ['package', CHART, '--destination', directory]);
      const [archive = ''] = readdirSync(directory);
      const files = (await run('tar', ['--list', '--file', join(directory, archive)])).split('\n');
      expect(files).toContain('vicuna-operator/templates/deployment.yaml');
      expect(files.filter((file) => file.includes('/tests/'))).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
