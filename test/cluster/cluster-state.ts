import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.ts';
import { nextIndex } from './network.ts';
import type { NodeState } from './node.ts';
import type { NodeSpec } from './node-profiles.ts';

/** What a later process needs to drive the cluster. */
export interface ClusterState {
  readonly name: string;
  readonly address: string;
  readonly url: string;
  readonly s3Port: number;
  readonly images: string;
  readonly nodes: readonly NodeState[];
  /** Nodes that were taken away and can be restored. */
  readonly lost: readonly NodeSpec[];
  /** The last index that a node was given, also one that is still starting. */
  readonly lastIndex: number;
}

/** The state of the cluster in `directory`, which several commands may change at the same time: an interruption waits for minutes. */
export class StateFile {
  readonly #path: string;

  constructor(directory: string) {
    this.#path = join(directory, 'state.json');
  }

  /** A cluster has a state as soon as nodes may be added to it. */
  get exists(): boolean {
    return existsSync(this.#path);
  }

  read(): ClusterState {
    return JSON.parse(readFileSync(this.#path, 'utf8')) as ClusterState;
  }

  /** One rename, so that a crash leaves the state before or the state after. */
  create(state: ClusterState): void {
    writeFileSync(`${this.#path}.tmp`, JSON.stringify(state));
    renameSync(`${this.#path}.tmp`, this.#path);
  }

  /** Changes what is there now, whoever else has changed it before; returns the new state. */
  async change(next: (state: ClusterState) => ClusterState): Promise<ClusterState> {
    return withLock(`${this.#path}.lock`, async () => {
      const state = next(this.read());
      this.create(state);
      return state;
    });
  }

  /** An index for a new node that nobody else gets. */
  async reserveIndex(): Promise<number> {
    const { lastIndex } = await this.change((state) => ({
      ...state,
      lastIndex: nextIndex(state.lastIndex, new Set(state.nodes.map((n) => n.index))),
    }));
    return lastIndex;
  }
}

export function withNode(state: ClusterState, node: NodeState): ClusterState {
  return { ...state, nodes: [...state.nodes, node], lost: state.lost.filter((spec) => spec.name !== node.spec.name) };
}

/** The same state when the node is not in it. */
export function withoutNode(state: ClusterState, { spec }: NodeState): ClusterState {
  const nodes = state.nodes.filter((n) => n.spec.name !== spec.name);
  return nodes.length === state.nodes.length ? state : { ...state, nodes, lost: [...state.lost, spec] };
}
