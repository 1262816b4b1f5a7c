import { readFileSync } from 'node:fs';
import type { GatewayConfig } from '../../operator/api/gateway-config.ts';
import { ApiError } from './api-error.ts';

type Settings = NonNullable<GatewayConfig['moderation']>;
export type Verdict = 'passed' | 'flagged' | 'unavailable';

/** Largest answer of a moderation server. */
const LONGEST = 1 << 20;

/** Asks an OpenAI-compatible moderation server whether a text may pass. */
export class Moderation {
  readonly #settings: Settings;
  readonly #onVerdict: (verdict: Verdict) => void;

  constructor(settings: Settings, onVerdict: (verdict: Verdict) => void) {
    this.#settings = settings;
    this.#onVerdict = onVerdict;
  }

  get ofInput(): boolean {
    return this.#settings.on.includes('input');
  }

  get ofOutput(): boolean {
    return this.#settings.on.includes('output');
  }

  /** Whether the text may pass. What cannot be checked passes or not as the settings say; refusing it throws 503. */
  async allows(text: string): Promise<boolean> {
    const verdict = await this.#check(text);
    this.#onVerdict(verdict);
    if (verdict !== 'unavailable') return verdict === 'passed';
    if (this.#settings.whenUnavailable === 'allow') return true;
    throw new ApiError(503, 'The moderation of questions and answers does not work at the moment, and nothing passes without it.', {
      code: 'moderation_unavailable',
      headers: { 'retry-after': '5' },
    });
  }

  async #check(text: string): Promise<Verdict> {
    const { url, model, keyFile, timeoutSeconds } = this.#settings;
    try {
      const response = await fetch(`${url.replace(/\/$/, '')}/v1/moderations`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(keyFile === undefined ? {} : { authorization: `Bearer ${readFileSync(keyFile, 'utf8').trim()}` }),
        },
        body: JSON.stringify({ input: text, ...(model === undefined ? {} : { model }) }),
        signal: AbortSignal.timeout(timeoutSeconds * 1000),
      });
      if (!response.ok || Number(response.headers.get('content-length') ?? 0) > LONGEST) return 'unavailable';
      const { results } = (await response.json()) as { results?: { flagged?: unknown }[] };
      if (!Array.isArray(results) || results.length === 0 || results.some((r) => typeof r?.flagged !== 'boolean')) return 'unavailable';
      return results.some((r) => r.flagged) ? 'flagged' : 'passed';
    } catch {
      return 'unavailable';
    }
  }
}

export function refusedInput(): ApiError {
  return new ApiError(400, 'The question is not within what this service answers.', { code: 'content_filter' });
}

/** Characters of an answer that are checked at a time, and how many of those before are checked with them: words fall across any edge. */
const WINDOW = 200;
const OVERLAP = 100;

/** Holds a streamed answer's text back until it has been checked, window by window. */
export class OutputWindows {
  readonly #moderation: Moderation;
  #passed = '';
  #held = '';

  constructor(moderation: Moderation) {
    this.#moderation = moderation;
  }

  /** Adds text; returns what may be sent now (perhaps nothing yet), or null when the answer must end. */
  async add(text: string, isLast: boolean): Promise<string | null> {
    this.#held += text;
    if (this.#held === '' || (this.#held.length < WINDOW && !isLast)) return '';
    const window = this.#passed.slice(-OVERLAP) + this.#held;
    if (!(await this.#moderation.allows(window))) return null;
    const released = this.#held;
    this.#passed = (this.#passed + released).slice(-OVERLAP);
    this.#held = '';
    return released;
  }
}
