import { DONE, eventsIn } from './sse.ts';

/** A chunk of a streamed answer, of chat or of plain completions. */
export interface Chunk {
  readonly id?: string;
  readonly object?: string;
  readonly created?: number;
  readonly model?: string;
  readonly error?: unknown;
  readonly prompt_token_ids?: readonly number[];
  readonly choices?: readonly ChunkChoice[];
  readonly usage?: Usage | null;
}

interface ChunkChoice {
  readonly index?: number;
  readonly delta?: { readonly role?: string; readonly content?: string | null; readonly [other: string]: unknown };
  readonly text?: string;
  readonly logprobs?: unknown;
  readonly token_ids?: readonly number[] | null;
  readonly prompt_token_ids?: readonly number[] | null;
  readonly finish_reason?: string | null;
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** Raw blocks are kept up to so many bytes; then they are read, and only what matters stays. */
const RAW_BYTES = 64 << 10;

/**
 * What has been sent of a streamed answer: enough to go on with it elsewhere. Blocks are kept as they came and read only when they are
 * many, or when the answer breaks: most never do, and then nothing was parsed.
 */
export class Answer {
  #raw: Buffer[] = [];
  #rawBytes = 0;
  #head: Chunk | null = null;
  #text = '';
  #tokens: number[] = [];
  #chunks = 0;
  #tokensKnown = true;
  #promptTokens: readonly number[] | null = null;
  #finishReason: string | null = null;
  #usage: Usage | null = null;
  #strange = false;

  /** Whole events that have been sent to the client. */
  add(block: Buffer): void {
    this.#raw.push(block);
    this.#rawBytes += block.length;
    if (this.#rawBytes > RAW_BYTES) this.#read();
  }

  /** Tokens of the prompt, from the first chunk, where the worker tells them. */
  set promptTokens(tokens: readonly number[] | null) {
    this.#promptTokens = tokens;
  }

  get promptTokens(): readonly number[] | null {
    this.#read();
    return this.#promptTokens;
  }

  /** The first chunk: its id, time and model stay the answer's. */
  get head(): Chunk | null {
    this.#read();
    return this.#head;
  }

  get text(): string {
    this.#read();
    return this.#text;
  }

  /** Token ids of the text, or null where the worker does not tell them. */
  get tokens(): readonly number[] | null {
    this.#read();
    return this.#tokensKnown ? this.#tokens : null;
  }

  /** Tokens so far; where the worker does not tell them, each chunk counts as one. */
  get tokenCount(): number {
    this.#read();
    return this.#tokensKnown ? this.#tokens.length : this.#chunks;
  }

  get finishReason(): string | null {
    this.#read();
    return this.#finishReason;
  }

  get usage(): Usage | null {
    this.#read();
    return this.#usage;
  }

  /** Whether it is one plain text: several choices, tool calls and log probabilities cannot be gone on with. */
  get continuable(): boolean {
    this.#read();
    return !this.#strange;
  }

  #read(): void {
    if (this.#raw.length === 0) return;
    const blocks = this.#raw;
    this.#raw = [];
    this.#rawBytes = 0;
    for (const block of blocks) for (const data of eventsIn(block)) if (data !== DONE.slice(6).trim()) this.#take(data);
  }

  #take(data: string): void {
    let chunk: Chunk;
    try {
      chunk = JSON.parse(data) as Chunk;
    } catch {
      this.#strange = true; // it was passed on as it came, and nobody can go on with it
      return;
    }
    this.#head ??= chunk;
    this.#promptTokens ??= chunk.prompt_token_ids ?? chunk.choices?.[0]?.prompt_token_ids ?? null;
    if (chunk.usage) this.#usage = chunk.usage;
    for (const choice of chunk.choices ?? []) this.#takeChoice(choice);
  }

  #takeChoice({ index, delta, text, logprobs, token_ids: tokens, finish_reason: reason }: ChunkChoice): void {
    const { role: _, content, ...others } = delta ?? {};
    const piece = text ?? content ?? '';
    if ((index ?? 0) !== 0 || logprobs || Object.values(others).some((value) => value !== null && value !== undefined))
      this.#strange = true;
    this.#text += piece;
    if (piece !== '') this.#chunks++;
    if (tokens) this.#tokens.push(...tokens);
    else if (piece !== '') this.#tokensKnown = false;
    if (reason) this.#finishReason = reason;
  }
}
