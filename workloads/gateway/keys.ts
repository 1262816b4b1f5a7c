import { createHash, timingSafeEqual } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { z } from 'zod';
import { ApiError } from './api-error.ts';
import { TokenBucket } from './token-bucket.ts';

const keySchema = z.strictObject({
  key: z.string().min(8).max(512),
  requestsPerMinute: z.int().min(1).max(1_000_000).optional(),
  tokensPerMinute: z.int().min(1).max(1_000_000_000).optional(),
});

interface Key {
  readonly name: string;
  readonly digest: Buffer;
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
}

/** Who asks, and what that one may still ask. */
export class Caller {
  readonly name: string;
  readonly #requests: TokenBucket | null;
  readonly #tokens: TokenBucket | null;

  constructor(name: string, requests: TokenBucket | null, tokens: TokenBucket | null) {
    this.name = name;
    this.#requests = requests;
    this.#tokens = tokens;
  }

  /** Takes one request; throws 429 when there are none left, or when earlier answers have used up the tokens. */
  admit(): void {
    const late = Math.max(this.#tokens?.secondsUntil(1) ?? 0, this.#requests?.secondsUntil(1) ?? 0);
    if (late > 0) {
      const seconds = String(Math.ceil(late));
      throw new ApiError(429, `The limit of this API key is reached; try again in ${seconds} s.`, {
        code: 'rate_limit_exceeded',
        headers: { 'retry-after': seconds },
      });
    }
    this.#requests?.take(1);
  }

  /** Charges the tokens of an answer, afterwards: how many there will be is not known before. */
  charge(tokens: number): void {
    this.#tokens?.take(tokens);
  }
}

const ANYBODY = new Caller('', null, null);

/** API keys from a directory with one key a file: the key itself, or JSON with key and limits. */
export class ApiKeys {
  readonly #now: () => number;
  readonly #callers = new Map<string, Caller>();
  #keys: readonly Key[] | null = null;
  #copies = 1;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Reads the directory (again); null = everybody may ask. Throws one sentence when a key is of no use. */
  load(directory: string | null, copies: number): void {
    if (directory === null) {
      this.#keys = null;
      return;
    }
    // Mounted Secrets have links and directories whose names begin with dots.
    const files = readdirSync(directory).filter((name) => !name.startsWith('.'));
    const keys = files.map((name) => readKey(name, readFileSync(join(directory, name), 'utf8')));
    if (JSON.stringify(keys) === JSON.stringify(this.#keys) && copies === this.#copies) return;
    this.#keys = keys;
    this.#copies = copies;
    this.#callers.clear();
  }

  /** Who asks; throws 401 for a key that is none. All keys are compared, each in constant time. */
  identify(request: IncomingMessage): Caller {
    if (this.#keys === null) return ANYBODY;
    const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined)
      throw new ApiError(401, 'An API key is needed: send it as "Authorization: Bearer KEY".', { code: 'invalid_api_key' });
    const digest = digestOf(given);
    let found: Key | null = null;
    for (const key of this.#keys) if (timingSafeEqual(key.digest, digest)) found = key;
    if (found === null) throw new ApiError(401, 'This API key is not known here.', { code: 'invalid_api_key' });
    return this.#callerOf(found);
  }

  #callerOf({ name, requestsPerMinute, tokensPerMinute }: Key): Caller {
    const known = this.#callers.get(name);
    if (known) return known;
    // Copies do not talk: each grants its share.
    const bucket = (perMinute: number | null) => (perMinute === null ? null : new TokenBucket(perMinute / this.#copies, this.#now));
    const caller = new Caller(name, bucket(requestsPerMinute), bucket(tokensPerMinute));
    this.#callers.set(name, caller);
    return caller;
  }
}

function readKey(name: string, text: string): Key {
  const trimmed = text.trim();
  const value = trimmed.startsWith('{') ? parseJson(name, trimmed) : { key: trimmed };
  const result = keySchema.safeParse(value);
  if (!result.success)
    throw new Error(
      `API key ${name}: ${result.error.issues.map((i) => `${i.path.join('.')} ${i.message}`).join('; ')}; write the key (8 characters or more), or JSON with key, requestsPerMinute and tokensPerMinute`,
    );
  const { key, requestsPerMinute = null, tokensPerMinute = null } = result.data;
  return { name, digest: digestOf(key), requestsPerMinute, tokensPerMinute };
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`API key ${name} begins as JSON and is none`); // the parser's own words would show a part of the key
  }
}

/** Digests have one length: comparing them tells nothing of the key's. */
function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
