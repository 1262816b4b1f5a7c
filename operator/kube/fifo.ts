/** A queue whose both ends cost the same however long it is; an array's shift() would move all that follow. */
export class Fifo<T> {
  #items: T[] = [];
  #first = 0;

  get head(): T | undefined {
    return this.#items[this.#first];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.#first++;
    // Half of it is used up: copying the rest costs, over time, one move per item.
    if (this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
