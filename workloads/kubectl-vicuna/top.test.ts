import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Context } from './command.ts';
import { NO_PAINT } from './terminal.ts';
import { NOW, sampleDataset, sampleTraining } from './testing.ts';
import { top } from './top.ts';

beforeEach(() => void vi.useFakeTimers({ now: NOW }));
afterEach(() => void vi.useRealTimers());

function start(values: Record<string, string | boolean> = {}) {
  const written: string[] = [];
  const stop = new AbortController();
  const cluster = { steps: '1/600', fault: null as string | null };
  const session = {
    scope: 'default',
    namespace: 'default',
    client: { server: 'https://api:6443' },
    fleet: async () => {
      if (cluster.fault) throw new Error(cluster.fault);
      const trainings = [sampleTraining({ progress: { display: cluster.steps } })];
      return { trainings, servings: [], datasets: [sampleDataset()], evaluations: [], pools: [] };
    },
  };
  const screen = { isTTY: true, columns: 60, rows: 24, write: (text: string) => void written.push(text) };
  const context = { session, screen, aside: screen, paint: NO_PAINT, now: () => Date.now(), signal: stop.signal, ask: null };
  return { written, cluster, stop, done: top.run(context as unknown as Context, [], values) };
}

const SHOWN_AGAIN = '\u001b[?25h\u001b[?1049l';

describe('kubectl vicuna top on a terminal', () => {
  it('draws again and again over what was there, and leaves the terminal as it was', async () => {
    const { written, cluster, stop, done } = start();
    await vi.advanceTimersByTimeAsync(0);
    expect(stripVTControlCharacters(written[1] ?? '')).toMatch(/^Vicuna · https:\/\/api:6443 · namespace default · \d\d:\d\d:41/);
    expect(written[1]).toContain('1/600');
    expect(written[1]).toContain('sharegpt');
    expect(written[1]?.startsWith('\u001b[H')).toBe(true);
    cluster.steps = '2/600';
    await vi.advanceTimersByTimeAsync(2_000);
    expect(written[2]).toContain('2/600');
    // No line is longer than the terminal is wide, or it would take two.
    const lines = (written[2] ?? '').split('\r\n').map((line) => stripVTControlCharacters(line));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
    stop.abort();
    expect(await done).toBe(0);
    expect(written.at(-1)).toBe(SHOWN_AGAIN);
  });

  it('keeps the last picture while the API server is away, and says that it is old', async () => {
    const { written, cluster, stop, done } = start({ interval: '1' });
    await vi.advanceTimersByTimeAsync(0);
    cluster.fault = 'away';
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written[2]).toContain('1/600');
    expect(written[2]).toContain('This is old: away');
    cluster.fault = null;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written[3]).not.toContain('old');
    stop.abort();
    await done;
  });

  it('prints once with --once', async () => {
    const { written, done } = start({ once: true });
    expect(await done).toBe(0);
    expect(written.join('')).not.toContain('\u001b');
    expect(written).toHaveLength(5);
  });
});
