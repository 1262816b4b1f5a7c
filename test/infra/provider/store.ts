// What is in the cloud that is not there: one file per thing, so that it outlives the plugin, which the engine starts anew for every command.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Thing {
  readonly type: string;
  readonly id: string;
  readonly inputs: Record<string, unknown>;
}

export class Store {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  add(thing: Thing): void {
    const file = this.#file(thing.id);
    if (existsSync(file)) throw new Error(`AlreadyExists: ${thing.type} ${thing.id}`);
    writeFileSync(file, JSON.stringify(thing));
  }

  replace(thing: Thing): void {
    if (!existsSync(this.#file(thing.id))) throw new Error(`NotFound: ${thing.type} ${thing.id}`);
    writeFileSync(this.#file(thing.id), JSON.stringify(thing));
  }

  /** Refuses, as clouds do, to remove what something else still refers to. */
  remove(id: string): void {
    const file = this.#file(id);
    if (!existsSync(file)) throw new Error(`NotFound: ${id}`);
    const user = this.all().find((other) => other.id !== id && JSON.stringify(other.inputs).includes(`"${id}"`));
    if (user !== undefined) throw new Error(`DependencyViolation: ${id} is used by ${user.type} ${user.id}`);
    rmSync(file);
  }

  all(): Thing[] {
    return readdirSync(this.#directory).map((file) => JSON.parse(readFileSync(join(this.#directory, file), 'utf8')) as Thing);
  }

  #file(id: string): string {
    return join(this.#directory, `${encodeURIComponent(id)}.json`);
  }
}
