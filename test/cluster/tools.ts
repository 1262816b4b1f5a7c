import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { downloadModule, GO_ENVIRONMENT } from './go-modules.ts';
import { withLock } from './lock.ts';
import { CACHE } from './paths.ts';
import { run } from './run.ts';
import { inScratch } from './scratch.ts';
import { KUBERNETES_LIBRARIES, KUBERNETES_MODULE, TOOLS, type Tool, type ToolName } from './tool-versions.ts';

/** Called as work goes on: which tool, how, and what share of the whole is done (0..1). */
export type ToolProgress = (tool: ToolName, how: 'downloading' | 'building', share: number, secondsLeft: number) => void;

/** A host that does not answer by then is not reachable from here; building works everywhere. */
const PROBE_MS = 3_000;

/** Path of a tool in the cache; it need not be there yet. */
export function toolPath(name: ToolName): string {
  return join(CACHE, 'tools', `${name}-${TOOLS[name].version}`, name);
}

/** Makes sure that the tools are in the cache: downloaded with their published checksum where that is possible, else built. */
export async function ensureTools(names: readonly ToolName[], progress: ToolProgress = () => {}): Promise<Record<ToolName, string>> {
  const isMissing = (name: ToolName) => !existsSync(toolPath(name));
  // What another command has made while this one waited is there by the time the lock is held.
  if (names.some(isMissing)) await withLock(join(CACHE, 'tools', '.lock'), () => make(names.filter(isMissing), progress));
  return Object.fromEntries(names.map((name) => [name, toolPath(name)])) as Record<ToolName, string>;
}

async function make(missing: readonly ToolName[], progress: ToolProgress): Promise<void> {
  let left = missing.reduce((sum, name) => sum + TOOLS[name].seconds, 0);
  const total = Math.max(1, left);
  const unreachable = new Set<string>();
  for (const name of missing) {
    const tool: Tool = TOOLS[name];
    const host = tool.download ? new URL(tool.download.url).host : '';
    const tell = (how: 'downloading' | 'building') => progress(name, how, 1 - left / total, left);
    let done = false;
    if (tool.download && !unreachable.has(host)) {
      tell('downloading');
      done = await download(name, tool).catch(() => false);
      if (!done) unreachable.add(host);
    }
    if (!done) {
      tell('building');
      await build(name, tool);
    }
    left -= tool.seconds;
  }
}

/** Downloads a release binary; false when it cannot be had, an error when it is not what its publisher says. */
async function download(name: ToolName, tool: Tool): Promise<boolean> {
  if (!tool.download) return false;
  const checksum = await fetch(tool.download.checksumUrl, { signal: AbortSignal.timeout(PROBE_MS) });
  if (!checksum.ok) return false;
  const expected = (await checksum.text()).trim().split(/\s+/)[0];
  const response = await fetch(tool.download.url, { signal: AbortSignal.timeout(300_000) });
  if (!response.ok) return false;
  const bytes = Buffer.from(await response.arrayBuffer());
  const actual = createHash('sha256').update(bytes).digest('hex');
  if (actual !== expected) throw new Error(`${tool.download.url} has checksum ${actual}, but ${expected} was published`);
  await inScratch(join(CACHE, 'tools'), async (scratch) => {
    writeFileSync(join(scratch, name), bytes);
    install(name, scratch);
  });
  return true;
}

async function build(name: ToolName, tool: Tool): Promise<void> {
  const env = { ...GO_ENVIRONMENT, CGO_ENABLED: '0' };
  const tags = tool.tags ? ['-tags', tool.tags] : [];
  await inScratch(join(CACHE, 'tools'), async (scratch) => {
    writeFileSync(join(scratch, 'go.mod'), await goMod(tool));
    await run('go', ['get', '-tool', `${tool.package}@${tool.version}`], { cwd: scratch, env });
    const flags = ['-trimpath', ...tags, '-ldflags', `-s -w ${tool.ldflags ?? ''}`.trim()];
    await run('go', ['build', ...flags, '-o', join(scratch, name), tool.package], { cwd: scratch, env });
    install(name, scratch);
  });
}

/** Kubernetes' own libraries are v0.0.0 in its go.mod, to be found beside it; outside they are the release's modules. */
async function goMod(tool: Tool): Promise<string> {
  const head = 'module tools\n\ngo 1.26.0\n';
  if (tool.module !== KUBERNETES_MODULE) return tool.replace ? `${head}\nreplace ${tool.replace}\n` : head;
  const { GoMod } = await downloadModule(`${tool.module}@${tool.version}`);
  const required = readFileSync(GoMod, 'utf8').matchAll(/^\s+(k8s\.io\/[a-z-]+) v0\.0\.0$/gm);
  const replaces = [...required].map(([, module]) => `replace ${module} => ${module} ${KUBERNETES_LIBRARIES}\n`);
  return `${head}\ngodebug default=go1.26\n\n${replaces.join('')}`;
}

/** One rename, so that nobody ever finds half a tool. */
function install(name: ToolName, scratch: string): void {
  const target = toolPath(name);
  chmodSync(join(scratch, name), 0o755);
  mkdirSync(dirname(target), { recursive: true });
  renameSync(join(scratch, name), target);
}
