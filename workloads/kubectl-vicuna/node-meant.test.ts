import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { ApiError, type KubeClient } from '../../operator/kube/client.ts';
import type { Context } from './command.ts';
import { interrupt } from './interrupt.ts';
import { replicaToMove } from './node-meant.ts';
import { Session } from './session.ts';
import { NO_PAINT, type Screen } from './terminal.ts';
import { ago, NOW, samplePool } from './testing.ts';

interface Shape {
  readonly pool?: string;
  /** Seconds; null = it does not answer. */
  readonly readyFor?: number | null;
  readonly deleted?: boolean;
}

function replica(name: string, { pool = 'spot', readyFor = 60, deleted = false }: Shape = {}): V1Pod {
  const labels = { 'vicuna.run/serving': 'chat', 'app.kubernetes.io/component': 'engine', 'vicuna.run/pool': pool };
  return {
    metadata: { name, namespace: 'ml', labels, ...(deleted ? { deletionTimestamp: ago(1) } : {}) },
    spec: { nodeName: `node-of-${name}` },
    status: { conditions: [{ type: 'Ready', status: readyFor === null ? 'False' : 'True', lastTransitionTime: ago(readyFor ?? 0) }] },
  } as unknown as V1Pod;
}

describe('of a serving', () => {
  const node = (...pods: V1Pod[]) => replicaToMove(pods, new Set(['spot']))?.node;

  it.each<[string, V1Pod[], string | undefined]>([
    ['the longest at work', [replica('a'), replica('b', { readyFor: 900 })], 'node-of-b'],
    ['one on spot before all others', [replica('a', { pool: 'fixed', readyFor: 900 }), replica('b')], 'node-of-b'],
    ['one on demand where none is on spot', [replica('a', { pool: 'fixed' })], 'node-of-a'],
    ['one that answers', [replica('a', { readyFor: null }), replica('b', { deleted: true, readyFor: 900 }), replica('c')], 'node-of-c'],
    ['the same one of equals', [replica('b'), replica('a')], 'node-of-a'],
    ['none where none answers', [replica('a', { readyFor: null })], undefined],
  ])('%s is moved', (_, pods, expected) => {
    expect(node(...pods)).toBe(expected);
  });
});

describe('kubectl vicuna interrupt', () => {
  function world(pods: V1Pod[]) {
    const out: string[] = [];
    const aside: string[] = [];
    const marked: string[] = [];
    const screen = (lines: string[]): Screen => ({ isTTY: false, columns: 80, rows: 24, write: (text) => void lines.push(text.trimEnd()) });
    const names: Record<string, string[]> = {
      vicunaservings: ['chat'],
      vicunatrainings: [],
      nodes: pods.map((p) => p.spec?.nodeName ?? ''),
    };
    const client = {
      get: async ({ plural }: { plural: string }, _: unknown, name: string) => {
        if (!names[plural]?.includes(name)) throw new ApiError(404, 'NotFound', `${name} not found`);
        return { metadata: { name } };
      },
      list: async ({ plural }: { plural: string }, { labelSelector }: { labelSelector?: string }) => {
        if (plural === 'gpupools') return { metadata: {}, items: [samplePool('spot')] };
        return { metadata: {}, items: labelSelector === 'vicuna.run/serving=chat,app.kubernetes.io/component=engine' ? pods : [] };
      },
      mergePatch: async (_: unknown, __: unknown, name: string) => void marked.push(name),
    };
    const context: Context = {
      session: new Session(client as unknown as KubeClient, 'ml', false),
      screen: screen(out),
      aside: screen(aside),
      paint: NO_PAINT,
      now: () => NOW,
      signal: new AbortController().signal,
      ask: null,
    };
    const run = (target: string, values: Record<string, string | boolean> = { simulate: true, yes: true }) =>
      interrupt.run(context, [target], values);
    return { run, aside, marked };
  }

  it('marks the node of one replica of a serving, and says which and why', async () => {
    const { run, aside, marked } = world([replica('a'), replica('b', { readyFor: 900 })]);
    expect(await run('vs/chat')).toBe(0);
    expect(marked).toEqual(['node-of-b']);
    expect(aside[0]).toBe('Serving chat: replica b on node node-of-b, of 2 that answer (on spot, and there the longest at work).');
    expect(aside.at(-1)).toContain('--undo node/node-of-b');
  });

  it.each<[string, Record<string, string | boolean>, string]>([
    ['vs/chat', { simulate: true, rank: '1' }, "--rank chooses among a training's workers: vs/chat has none"],
    ['vs/chat', { undo: true }, 'name the node whose mark is to be taken back, --undo node/NAME'],
    ['vs/none', { simulate: true }, 'there is no VicunaServing "none" in namespace ml'],
    ['vs/chat', { simulate: true }, 'serving "chat" has no replica that answers now: kubectl vicuna explain vs/chat says why'],
    ['vt/none', { simulate: true }, 'there is no VicunaTraining "none" in namespace ml'],
    ['none', { simulate: true }, 'there is neither a training "none" in namespace ml nor a node of that name'],
    ['gp/spot', { simulate: true }, '"gp/spot" is no training (vt/NAME), serving (vs/NAME) or node (node/NAME)'],
    ['vs/', { simulate: true }, '"vs/" is no training'],
  ])('refuses %s %j', async (target, values, words) => {
    await expect(world([]).run(target, values)).rejects.toThrow(words);
  });
});
