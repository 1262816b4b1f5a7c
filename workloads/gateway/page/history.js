/**
 * @typedef {{ model: string, text: string, worker?: string, zone?: string | null, problem?: string, stopped?: boolean }} Answer
 * @typedef {{ question: string, answers: Answer[] }} Turn
 * @typedef {{ id: string, changedAt: number, turns: Turn[] }} Conversation
 */

const KEY = 'vicuna.conversations';
/** A browser keeps about five million characters; the oldest conversations go first. */
const MOST = 100;

/** Conversations, kept in the browser. */
export class History {
  #storage;

  /** @param {Pick<Storage, 'getItem' | 'setItem'>} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** The newest first. @returns {Conversation[]} */
  list() {
    try {
      const found = JSON.parse(this.#storage.getItem(KEY) ?? '[]');
      if (!Array.isArray(found)) return [];
      return found.filter((c) => typeof c?.id === 'string' && Array.isArray(c.turns)).sort((a, b) => b.changedAt - a.changedAt);
    } catch {
      return [];
    }
  }

  /** @param {string} id */
  get(id) {
    return this.list().find((c) => c.id === id);
  }

  /** @param {Conversation} conversation */
  save(conversation) {
    const kept = [conversation, ...this.list().filter((c) => c.id !== conversation.id)].slice(0, MOST);
    // A full store gives way by its oldest.
    while (kept.length > 0) {
      try {
        this.#storage.setItem(KEY, JSON.stringify(kept));
        return;
      } catch {
        kept.pop();
      }
    }
  }

  /** @param {string} id */
  remove(id) {
    this.#storage.setItem(KEY, JSON.stringify(this.list().filter((c) => c.id !== id)));
  }
}

/** What a conversation is called: its first question. @param {Conversation} conversation */
export function titleOf({ turns }) {
  const first = turns[0]?.question.replace(/\s+/g, ' ').trim() ?? '';
  return first.length > 60 ? `${first.slice(0, 59)}…` : first || 'New conversation';
}

/** A conversation as text. @param {Conversation} conversation */
export function asText({ turns }) {
  return turns
    .flatMap(({ question, answers }) => [
      `You:\n${question}`,
      ...answers.map((a) => `${a.model}:\n${a.text || `(${a.problem ?? 'no answer'})`}`),
    ])
    .join('\n\n');
}

/**
 * The messages of a conversation as one model has seen them.
 * @param {Turn[]} turns
 * @param {number} side 0 or 1: which of two compared answers
 */
export function messagesFor(turns, side) {
  return turns.flatMap(({ question, answers }) => {
    const answer = answers[side] ?? answers[0];
    // What was never answered is no part of the conversation; a question that was refused would be refused with every one after it.
    if (!answer?.text) return [];
    return [
      { role: 'user', content: question },
      { role: 'assistant', content: answer.text },
    ];
  });
}
