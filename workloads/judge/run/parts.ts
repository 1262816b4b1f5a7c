import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Storage } from '../storage-contract.ts';
import { concurrently } from './concurrently.ts';
import { NO_USAGE, plus, type Usage } from './ledger.ts';

// Every answer and every review is kept the moment it is there, in a file of its own named after all that it depends on: what a run finds
// there, it does not ask and pay for again.

const partSchema = z.object({
  text: z.string(),
  /** Tokens, as the server counted them or, where it does not, a fourth of the characters. */
  usage: z.object({ input: z.number(), output: z.number() }),
  /** As the server says it: "length" is a text that was cut off. */
  finish: z.string().nullable(),
  /** Dollars; null where no price was given. */
  cost: z.number().nullable(),
});

export type Part = z.output<typeof partSchema>;
export type PartKind = 'answers' | 'reviews';

export interface Spent {
  readonly usage: Usage;
  /** Dollars; null when the price of any part was not known. */
  readonly cost: number | null;
}

const READ_AT_ONCE = 16;

export class Parts {
  readonly #storage: Storage;
  readonly #there = new Map<string, Part>();

  private constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Reads all that earlier runs left; what cannot be read as a part counts as not there. */
  static async open(storage: Storage): Promise<Parts> {
    const parts = new Parts(storage);
    await concurrently(await storage.list('parts'), READ_AT_ONCE, async (name) => {
      const part = parse(await storage.read(name));
      if (part !== null) parts.#there.set(name, part);
    });
    return parts;
  }

  get(name: string): Part | null {
    return this.#there.get(name) ?? null;
  }

  async put(name: string, part: Part): Promise<void> {
    await this.#storage.write(name, JSON.stringify(part));
    this.#there.set(name, part);
  }

  /** All that was ever asked for this output, with what it cost when it was asked. */
  spent(kind: PartKind): Spent {
    let [usage, cost]: [Usage, number | null] = [NO_USAGE, 0];
    for (const [name, part] of this.#there) {
      if (!name.startsWith(`parts/${kind}/`)) continue;
      usage = plus(usage, part.usage);
      cost = cost === null || part.cost === null ? null : cost + part.cost;
    }
    return { usage, cost };
  }
}

function parse(content: Buffer | null): Part | null {
  if (content === null) return null;
  try {
    return partSchema.parse(JSON.parse(content.toString('utf8')));
  } catch {
    return null;
  }
}

/** `label`: for people who look at the directory. */
export function partName(kind: PartKind, label: readonly string[], dependsOn: unknown): string {
  const digest = createHash('sha256').update(JSON.stringify(dependsOn)).digest('hex').slice(0, 20);
  return `parts/${kind}/${label.map(encodeURIComponent).join('/')}-${digest}.json`;
}
