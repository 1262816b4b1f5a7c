/** Shared by works that end together. */
export interface Halt {
  failed: boolean;
}

/**
 * Works on items in their order, so many at once. When one rejects, no further one is begun; it rejects with the first error when those
 * under way have ended.
 */
export async function concurrently<T>(
  items: Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
  halt: Halt = { failed: false },
): Promise<void> {
  const rest = items[Symbol.iterator]();
  const failures: unknown[] = [];
  const lane = async () => {
    for (let next = rest.next(); !next.done && !halt.failed; next = rest.next()) {
      try {
        await work(next.value);
      } catch (error) {
        halt.failed = true;
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  if (failures.length > 0) throw failures[0];
}
