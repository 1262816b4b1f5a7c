import type { KubeClient } from '../../operator/kube/client.ts';
import { LEASE } from '../../operator/kube/types.ts';

/** A Lease is renewed so often at most. */
const EVERY_MS = 2_000;

/** Tells the operator, by renewing a model's Lease, that requests wait for it. */
export class Demand {
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #onProblem: (error: Error) => void;
  readonly #last = new Map<string, number>();

  constructor(client: KubeClient, namespace: string, onProblem: (error: Error) => void) {
    this.#client = client;
    this.#namespace = namespace;
    this.#onProblem = onProblem;
  }

  renew(lease: string, now: number): void {
    if (now - (this.#last.get(lease) ?? Number.NEGATIVE_INFINITY) < EVERY_MS) return;
    this.#last.set(lease, now);
    // A MicroTime has six digits after the point.
    const renewTime = new Date(now).toISOString().replace('Z', '000Z');
    this.#client.mergePatch(LEASE, this.#namespace, lease, { spec: { renewTime } }).catch((error: Error) => this.#onProblem(error));
  }
}
