/** What the published simulators leave out of a training's life. Times in seconds. */
export interface Effects {
  /** For how long a save stalls training. */
  readonly saveSeconds: number;
  /** From the notice until spot is gone. A save that fits is made in it; of one that does not, nothing is left. */
  readonly noticeSeconds: number;
  /** Training time between two saves; on spot, until the policy says otherwise. */
  readonly saveEverySeconds: number;
  /** The successor is started at the notice, and paid from then on, not when spot is gone. */
  readonly startsAtNotice: boolean;
}

/** Work done and work saved. Without effects, all is saved at once and for nothing. */
export class Progress {
  done = 0;
  saved = 0;
  /** Training time between two saves on spot, seconds. */
  every: number;
  readonly #everyElse: number;
  readonly #duration: number;
  readonly #save: number;
  readonly #notice: number;
  /** What a save that is being made still takes. */
  #saving = 0;

  constructor(durationSeconds: number, effects: Effects | undefined) {
    this.#duration = durationSeconds;
    this.#save = effects?.saveSeconds ?? 0;
    this.#notice = effects?.noticeSeconds ?? 0;
    this.every = this.#everyElse = effects?.saveEverySeconds ?? 0;
  }

  get isDone(): boolean {
    return this.done >= this.#duration - 1e-6;
  }

  /** So many seconds of training, its saves included. */
  run(seconds: number, onSpot: boolean): void {
    const every = onSpot ? this.every : this.#everyElse;
    if (this.#save === 0) {
      this.done = this.saved = Math.min(this.#duration, this.done + seconds);
      return;
    }
    let left = seconds;
    while (left > 1e-9 && !this.isDone) {
      if (this.#saving > 0) {
        const spent = Math.min(left, this.#saving);
        this.#saving -= spent;
        left -= spent;
        if (this.#saving <= 1e-9) this.#keep();
        continue;
      }
      const work = Math.min(left, Math.max(0, every - (this.done - this.saved)), this.#duration - this.done);
      this.done += work;
      left -= work;
      if (this.done - this.saved >= every - 1e-9) this.#saving = this.#save;
    }
  }

  /** A stop that was planned: the last save takes the place of as much work. */
  stop(): void {
    this.done = Math.max(this.saved, this.done - this.#save);
    this.#keep();
  }

  /** Spot was taken away. */
  lose(): void {
    if (this.#notice >= this.#save) this.stop();
    else {
      this.done = this.saved;
      this.#keep();
    }
  }

  #keep(): void {
    this.saved = this.done;
    this.#saving = 0;
  }
}
