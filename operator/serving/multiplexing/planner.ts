import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { PlannerInput, PlannerOutput } from './planner-process.ts';

// As sources, or built.
const PROGRAM = fileURLToPath(new URL(`./planner-process${extname(import.meta.url)}`, import.meta.url));
const LONGEST_MS = 120_000;

/** Plans in another process. Never rejects. */
export async function planGroups(input: PlannerInput): Promise<PlannerOutput> {
  try {
    const child = spawn(process.execPath, [PROGRAM], { stdio: ['pipe', 'pipe', 'pipe'], timeout: LONGEST_MS });
    child.stdin.on('error', () => {}); // it ended early: its words say why
    child.stdin.end(JSON.stringify(input));
    const ended = new Promise<string>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve(signal ?? String(code)));
    });
    const [output, words, end] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    if (end === '0') return JSON.parse(output) as PlannerOutput;
    return { problem: `the planner ended with ${end}: ${words.trim().split('\n').at(-1) ?? ''}` };
  } catch (error) {
    return { problem: `the planner cannot run: ${(error as Error).message}` };
  }
}
