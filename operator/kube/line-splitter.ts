/** Cuts a stream of bytes into lines, wherever the chunks were cut: inside a line, or inside a character. */
export class LineSplitter {
  #rest: Buffer[] = [];

  /** The lines that `chunk` completes, without their newline. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10, start); end !== -1; end = chunk.indexOf(10, start)) {
      const piece = chunk.subarray(start, end);
      lines.push((this.#rest.length === 0 ? piece : Buffer.concat([...this.#rest, piece])).toString('utf8'));
      this.#rest = [];
      start = end + 1;
    }
    if (start < chunk.length) this.#rest.push(chunk.subarray(start));
    return lines;
  }
}
