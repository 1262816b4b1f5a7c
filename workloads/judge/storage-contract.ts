import { badInput } from './failure.ts';

/** Largest file that is read, bytes. */
export const MAX_FILE_BYTES = 256 * 1_024 * 1_024;

/** What lies below one URI. Paths are relative to it, with `/`. Rejects with a Failure when the storage fails. */
export interface Storage {
  readonly uri: string;
  /** The whole content; null when there is no such file. */
  read(path: string): Promise<Buffer | null>;
  /** Readers see all of it or nothing, also when this process dies meanwhile. */
  write(path: string, content: string | Uint8Array): Promise<void>;
  /** Paths of all files below a directory ('' is the whole). */
  list(directory: string): Promise<string[]>;
}

export const tooLarge = (what: string, bytes: number) =>
  badInput(`${what} is too large: ${bytes} bytes, at most ${MAX_FILE_BYTES} are read`);
