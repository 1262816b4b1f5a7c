import type { Price } from '../config.ts';
import type { Chat, ChatRequest } from './chat.ts';
import { costOf, type Ledger, mostTokens } from './ledger.ts';
import type { Part, Parts } from './parts.ts';

/** Asks one server within the budget, and nothing twice. */
export class Asker {
  readonly #chat: Chat;
  readonly #price: Price | undefined;
  readonly #ledger: Ledger;
  readonly #parts: Parts;

  constructor(chat: Chat, price: Price | undefined, ledger: Ledger, parts: Parts) {
    this.#chat = chat;
    this.#price = price;
    this.#ledger = ledger;
    this.#parts = parts;
  }

  /**
   * What the server said, from an earlier run (`found`) or now, and kept under that name. Rejects as Chat does, and with BudgetReached when
   * the request, at its largest, does not fit any more.
   */
  async ask(name: string, request: ChatRequest, signal: AbortSignal): Promise<{ readonly part: Part; readonly found: boolean }> {
    const kept = this.#parts.get(name);
    if (kept !== null) return { part: kept, found: true };
    const most = this.#most(request);
    await this.#ledger.promise(most);
    let promised = most;
    const settle = (dollars: number) => {
      this.#ledger.settle(promised, dollars);
      promised = 0;
    };
    try {
      const reply = await this.#chat.ask(request, signal, async () => {
        settle(most);
        await this.#ledger.promise(most);
        promised = most;
      });
      const part = { ...reply, cost: this.#price === undefined ? null : costOf(reply.usage, this.#price) };
      settle(part.cost ?? 0);
      await this.#parts.put(name, part);
      return { part, found: false };
    } finally {
      settle(0);
    }
  }

  #most({ messages, maxTokens }: ChatRequest): number {
    if (this.#price === undefined) return 0;
    const input = messages.reduce((sum, { content }) => sum + mostTokens(content), 0);
    return costOf({ input, output: maxTokens }, this.#price);
  }
}
