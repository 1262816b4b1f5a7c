/** Counts the requests for a world that each pod has open, and refuses more than a few. */
export class PollSlots {
  readonly #perPod: number;
  readonly #open = new Map<string, number>();

  constructor(perPod: number) {
    this.#perPod = perPod;
  }

  /** Takes one of the pod's places; false when it has no more. */
  take(pod: string): boolean {
    const open = this.#open.get(pod) ?? 0;
    if (open >= this.#perPod) return false;
    this.#open.set(pod, open + 1);
    return true;
  }

  release(pod: string): void {
    const open = (this.#open.get(pod) ?? 1) - 1;
    if (open > 0) this.#open.set(pod, open);
    else this.#open.delete(pod);
  }
}
