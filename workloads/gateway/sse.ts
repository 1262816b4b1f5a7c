const TWO_LINES = Buffer.from('\n\n');
const DATA = Buffer.from('data:');

/** An event of a stream may have so many bytes: a worker that sends more in one is not answering. */
export const LONGEST_EVENT = 8 << 20;

/**
 * Cuts a stream into blocks of whole events, each as it came, without copying where an event ends with its chunk. Returns null while
 * there is no whole event.
 */
export class EventCutter {
  #rest: Buffer | null = null;

  push(chunk: Buffer): Buffer | null {
    // Some servers end lines with both characters; one form serves everything behind.
    const bytes = chunk.includes(13) ? Buffer.from(chunk.toString('latin1').replaceAll('\r', ''), 'latin1') : chunk;
    const whole = this.#rest === null ? bytes : Buffer.concat([this.#rest, bytes]);
    const end = whole.lastIndexOf(TWO_LINES);
    if (end < 0) {
      if (whole.length > LONGEST_EVENT) throw new Error(`an event of more than ${LONGEST_EVENT} bytes`);
      this.#rest = whole;
      return null;
    }
    const size = end + 2;
    this.#rest = size === whole.length ? null : whole.subarray(size);
    return size === whole.length ? whole : whole.subarray(0, size);
  }
}

/** The data of each event in a block. Comments and other fields are left out. */
export function* eventsIn(block: Buffer): Generator<string> {
  let start = 0;
  while (start < block.length) {
    const end = block.indexOf(TWO_LINES, start);
    const event = block.subarray(start, end < 0 ? block.length : end);
    start = end < 0 ? block.length : end + 2;
    if (event.length === 0) continue;
    if (event.indexOf(DATA) === 0 && event.indexOf(10) < 0) {
      yield event.toString('utf8', 5).trim();
      continue;
    }
    const lines = event
      .toString('utf8')
      .split('\n')
      .flatMap((line) => (line.startsWith('data:') ? [line.slice(5).trimStart()] : []));
    if (lines.length > 0) yield lines.join('\n');
  }
}

/**
 * Whether every event of a block looks like one of an answer: a comment, or data that begins and ends as JSON does. It is no proof, but
 * it costs next to nothing, and an answer that was cut off or comes from something else does not pass.
 */
export function looksSound(block: Buffer): boolean {
  let start = 0;
  while (start < block.length) {
    const end = block.indexOf(TWO_LINES, start);
    if (end < 0) return false;
    if (end > start && block[start] !== COLON) {
      if (block.indexOf(DATA, start) !== start) return false;
      const first = block[start + 5] === SPACE ? block[start + 6] : block[start + 5];
      const last = block[end - 1];
      if (!(first === OPEN && last === CLOSE) && !isDone(block.subarray(start, end + 2))) return false;
    }
    start = end + 2;
  }
  return true;
}

const COLON = 0x3a;
const SPACE = 0x20;
const OPEN = 0x7b;
const CLOSE = 0x7d;

export const DONE = 'data: [DONE]\n\n';

/** Whether a block ends the stream in order. */
export function isDone(block: Buffer): boolean {
  const tail = block.length - DONE.length;
  return tail >= 0 && (tail === 0 || block[tail - 1] === 10) && block.toString('latin1', tail) === DONE;
}

export function eventOf(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
