import type { ServerResponse } from 'node:http';
import type { Chunk } from './answer.ts';
import { ApiError } from './api-error.ts';
import { ClientStream } from './client-stream.ts';
import { type Moderation, OutputWindows } from './moderation.ts';
import { eventOf, eventsIn } from './sse.ts';
import type { Worker } from './worker.ts';

type Choice = NonNullable<Chunk['choices']>[number];

/** A stream whose text reaches the client only after it has been checked. Checks run one after the other; the worker waits for them. */
export class ModeratedStream extends ClientStream {
  readonly #moderation: Moderation;
  readonly #stop: () => void;
  /** One a choice. */
  readonly #windows = new Map<number, OutputWindows>();
  #work: Promise<void> = Promise.resolve();
  #over = false;

  /** `stop` ends the request at the worker: its answer may not go on. */
  constructor(
    response: ServerResponse,
    headers: Readonly<Record<string, string>>,
    tells: boolean,
    moderation: Moderation,
    stop: () => void,
  ) {
    super(response, headers, tells);
    this.#moderation = moderation;
    this.#stop = stop;
  }

  override write(block: Buffer | string, worker?: Worker): boolean {
    if (typeof block === 'string') return super.write(block, worker); // the gateway's own words
    this.#work = this.#work.then(() => this.#check(block, worker)).catch((error: unknown) => this.#giveUp(error));
    return false;
  }

  override async drained(signal: AbortSignal): Promise<void> {
    await this.#work;
    void signal;
  }

  override end(): void {
    void this.#work.then(() => this.#over || super.end());
  }

  override done(): void {
    void this.#work.then(() => this.#over || super.done());
  }

  override fail(error: ApiError): void {
    void this.#work.then(() => this.#over || super.fail(error));
  }

  async #check(block: Buffer, worker: Worker | undefined): Promise<void> {
    for (const data of eventsIn(block)) {
      if (this.#over) return;
      if (data === '[DONE]') {
        super.write('data: [DONE]\n\n', worker);
        continue;
      }
      const chunk = JSON.parse(data) as Chunk;
      const choices: Choice[] = [];
      for (const choice of chunk.choices ?? []) {
        const passed = await this.#passed(choice);
        if (passed === null) return this.#refuse(chunk, choice, worker);
        choices.push(passed);
      }
      super.write(eventOf({ ...chunk, choices }), worker);
    }
  }

  /** The choice with what of its text may be sent now; null when it must end. */
  async #passed(choice: Choice): Promise<Choice | null> {
    const index = choice.index ?? 0;
    const windows = this.#windows.get(index) ?? new OutputWindows(this.#moderation);
    this.#windows.set(index, windows);
    const text = await windows.add(choice.text ?? choice.delta?.content ?? '', Boolean(choice.finish_reason));
    if (text === null) return null;
    // Tokens and their probabilities would tell what the text still holds back.
    const { token_ids: _, logprobs: __, ...rest } = choice;
    if (choice.text !== undefined) return { ...rest, text };
    return { ...rest, delta: { ...choice.delta, ...(choice.delta?.content === undefined && text === '' ? {} : { content: text }) } };
  }

  #refuse(chunk: Chunk, choice: Choice, worker: Worker | undefined): void {
    const empty = choice.text === undefined ? { delta: {} } : { text: '' };
    super.write(eventOf({ ...chunk, choices: [{ index: choice.index ?? 0, ...empty, finish_reason: 'content_filter' }] }), worker);
    super.done();
    this.#over = true;
    this.#stop();
  }

  #giveUp(error: unknown): void {
    if (this.#over) return;
    super.fail(error instanceof ApiError ? error : new ApiError(502, 'The answer could not be checked.'));
    this.#over = true;
    this.#stop();
  }
}
