import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const WORKFLOWS = join(import.meta.dirname, '..', '..', '.github', 'workflows');

describe.each(readdirSync(WORKFLOWS))('%s', (file) => {
  const text = readFileSync(join(WORKFLOWS, file), 'utf8');

  it('takes other people’s actions by commit, which no tag can move, and says which version that is', () => {
    const uses = text.match(/^.*\buses:.*$/gm) ?? [];
    expect(uses.length).toBeGreaterThan(0);
    expect(uses.filter((line) => !/^ *(?:- )?uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))).toEqual([]);
  });

  it('takes each action at one version', () => {
    const versions = new Map<string, string>();
    for (const [, action = '', version = ''] of text.matchAll(/uses: ([^@]+)@(.*)/g)) {
      expect(versions.get(action) ?? version).toBe(version);
      versions.set(action, version);
    }
  });
});

it('the release attaches a list of contents and provenance to every image', () => {
  const { jobs } = parse(readFileSync(join(WORKFLOWS, 'release.yaml'), 'utf8'));
  const steps = jobs.image.steps as { uses?: string; with?: Record<string, unknown> }[];
  const building = steps.find(({ uses }) => uses?.startsWith('docker/build-push-action@'));
  expect(building?.with).toMatchObject({ sbom: true, provenance: 'mode=max', outputs: expect.stringContaining('rewrite-timestamp=true') });
  expect(steps.some(({ uses }) => uses?.startsWith('actions/attest-build-provenance@'))).toBe(true);
});
