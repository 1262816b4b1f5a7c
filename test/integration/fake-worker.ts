import type { Report, World } from '../../operator/api/protocol.ts';

/** A worker pod's supervisor as far as the operator can tell: it speaks the protocol and pretends to train. */
export class FakeWorker {
  readonly #url: () => string;
  readonly #training: string;
  readonly #pod: string;
  readonly #token: string;
  readonly #storage: string;
  readonly #limit: () => number;
  readonly #totalSteps: number;
  readonly #onWorld: (world: World) => void;
  #world: World | null = null;
  #step = 0;
  #state: Report['state'] = 'starting';
  #checkpoint: Report['checkpoint'];
  #resumed = 0;
  #ended = false;
  /** Whether its calls do not reach the operator. */
  isMuted = false;

  constructor(options: {
    url: () => string;
    training: string;
    pod: string;
    token: string;
    storage: string;
    totalSteps: number;
    limit: () => number;
    /** Called with everything that it is told. */
    onWorld?: (world: World) => void;
  }) {
    this.#url = options.url;
    this.#training = options.training;
    this.#pod = options.pod;
    this.#token = options.token;
    this.#storage = options.storage;
    this.#totalSteps = options.totalSteps;
    this.#limit = options.limit;
    this.#onWorld = options.onWorld ?? (() => undefined);
    void this.#follow();
    void this.#work();
  }

  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    this.#ended = true;
  }

  async #follow(): Promise<void> {
    while (!this.#ended) {
      const after = this.#world === null ? '' : `?after=${encodeURIComponent(this.#world.revision)}`;
      const response = await this.#call('GET', `world${after}`).catch(() => null);
      if (response?.status === 200) this.#take((await response.json()) as World);
      else if (response?.status !== 204) await pause(100);
    }
  }

  #take(world: World): void {
    this.#onWorld(world);
    const member = world.members.find((m) => m.pod === this.#pod);
    if (!member) return;
    if (this.#world?.generation !== world.generation) {
      this.#step = this.#resumed = world.resume?.step ?? 0;
      this.#state = 'running';
    }
    this.#world = world;
    if (this.#state === 'running' && world.directive !== 'run') this.#save(world);
    if (world.directive === 'stop' && this.#state === 'running') this.#state = 'stopped';
    void this.#report();
  }

  #save({ generation }: World): void {
    const name = `step-${String(this.#step).padStart(8, '0')}-g${generation}`;
    this.#checkpoint = {
      step: this.#step,
      uri: `${this.#storage}/${name}`,
      bytes: 1,
      savedAt: new Date().toISOString(),
      seconds: 0.1,
      stallSeconds: 0.1,
      generation,
    };
  }

  /** One step every 100 ms, up to where the test allows; reports all the while, as a supervisor does whatever state it is in. */
  async #work(): Promise<void> {
    while (!this.#ended) {
      await pause(100);
      if (this.#state === 'running' && this.#world !== null) {
        if (this.#step < Math.min(this.#limit(), this.#totalSteps)) this.#step++;
        if (this.#step === this.#totalSteps) {
          this.#save(this.#world);
          this.#state = 'succeeded';
        }
      }
      await this.#report();
    }
  }

  async #report(): Promise<void> {
    const rank = this.#world?.members.find((m) => m.pod === this.#pod)?.rank ?? 0;
    const report: Report = {
      generation: this.#world?.generation ?? 0,
      rank,
      state: this.#state,
      step: this.#step,
      totalSteps: this.#totalSteps,
      epoch: 0,
      loss: 1,
      validation: { step: 0, loss: 1 },
      tokensPerSecond: 1,
      ...(this.#state === 'running' ? { resumedStep: this.#resumed } : {}),
      ...(this.#checkpoint ? { checkpoint: this.#checkpoint } : {}),
    };
    await this.#call('POST', 'report', JSON.stringify(report)).catch(() => null);
  }

  #call(method: string, path: string, body?: string): Promise<Response> {
    if (this.isMuted) return Promise.reject(new Error('cut off'));
    const headers = { authorization: `Bearer ${this.#token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    return fetch(`${this.#url()}/v1/trainings/${this.#training}/${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(35_000),
      ...(body === undefined ? {} : { body }),
    });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
