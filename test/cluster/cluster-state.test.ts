import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StateFile, withNode, withoutNode } from './cluster-state.ts';
import type { NodeState } from './node.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vicuna-state-'));
  const empty = { name: 'manual', address: '10.200.0.1', url: 'https://10.200.0.1:1', s3Port: 2, images: 'images.tar' };
  new StateFile(directory).create({ ...empty, nodes: [], lost: [], lastIndex: 0 });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function node(name: string, index: number): NodeState {
  const spec = { name, cloud: 'aws', capacity: 'spot', region: 'r', zone: 'z', instanceType: 't', gpus: 1 } as const;
  return { spec, directory: `/nodes/${name}`, index, cgroup: `c-${index}`, pids: [] };
}

describe('the state of a cluster', () => {
  it('keeps what another command has changed while this one waited', async () => {
    const [a, b] = [node('a', 1), node('b', 2)];
    const [interrupting, killing] = [new StateFile(directory), new StateFile(directory)];
    await interrupting.change((s) => withNode(withNode(s, a), b));
    await killing.change((s) => withoutNode(s, b));
    const state = await interrupting.change((s) => withoutNode(s, a));
    expect(state.nodes).toEqual([]);
    expect(state.lost.map((s) => s.name)).toEqual(['b', 'a']);
    expect(interrupting.read()).toEqual(state);
  });

  it('gives no index twice, however many nodes start at the same time', async () => {
    const files = Array.from({ length: 8 }, () => new StateFile(directory));
    const indexes = await Promise.all(files.map((f) => f.reserveIndex()));
    expect(indexes.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(readdirSync(directory)).toEqual(['state.json']);
  });

  it('loses a node once, whoever else ends it', async () => {
    const [a, b] = [node('a', 1), node('b', 2)];
    const file = new StateFile(directory);
    await file.change((s) => withNode(withNode(s, a), b));
    await file.change((s) => withoutNode(s, a));
    const state = await file.change((s) => withoutNode(s, a));
    expect(state.nodes).toEqual([b]);
    expect(state.lost).toEqual([a.spec]);
  });

  it('no longer counts a node as lost that came back', async () => {
    const file = new StateFile(directory);
    const a = node('a', 1);
    await file.change((s) => withoutNode(withNode(s, a), a));
    const state = await file.change((s) => withNode(s, node('a', 3)));
    expect(state.lost).toEqual([]);
  });
});
