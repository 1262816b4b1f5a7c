/**
 * @typedef {{ type: 'data', data: string } | { type: 'comment', text: string }} StreamEvent
 */

/** Cuts text that arrives in pieces into server-sent events. Comments are events here, too: the gateway tells in them what happens. */
export class EventReader {
  #rest = '';

  /** @param {string} text @returns {StreamEvent[]} */
  push(text) {
    this.#rest += text.replaceAll('\r', '');
    const events = [];
    for (let end = this.#rest.indexOf('\n\n'); end >= 0; end = this.#rest.indexOf('\n\n')) {
      const block = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 2);
      const data = [];
      for (const line of block.split('\n')) {
        if (line.startsWith(':')) events.push({ type: 'comment', text: line.slice(1).trim() });
        else if (line.startsWith('data:')) data.push(line.slice(5).trimStart());
      }
      if (data.length > 0) events.push({ type: 'data', data: data.join('\n') });
    }
    return events;
  }
}
