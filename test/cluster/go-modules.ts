import { tmpdir } from 'node:os';
import { run } from './run.ts';
import { inScratch } from './scratch.ts';

/** Settings under which Go takes modules as they are asked for, whatever the user's own say. */
export const GO_ENVIRONMENT = { GOFLAGS: '-mod=mod', GOWORK: 'off' };

/** What Go says of a module in its cache: where its files lie, and its go.mod. */
export interface GoModule {
  readonly Dir: string;
  readonly GoMod: string;
}

/** A module (`path@version`) from the module proxy, in Go's cache. */
export function downloadModule(module: string): Promise<GoModule> {
  return inScratch(tmpdir(), async (cwd) =>
    JSON.parse(await run('go', ['mod', 'download', '-json', module], { cwd, env: GO_ENVIRONMENT })),
  );
}
