import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { CONTROL_PLANE_TOOLS, NODE_TOOLS, type ToolName } from './tool-versions.ts';
import { toolPath } from './tools.ts';

/** What the embedded cluster needs and this machine lacks, a sentence each; empty when everything is there. */
export function missingPrerequisites({ nodes }: { nodes: boolean }): string[] {
  const missing: string[] = [];
  if (process.platform !== 'linux' || process.arch !== 'x64')
    missing.push(
      `The embedded cluster runs on Linux on x86-64, not on ${process.platform} on ${process.arch}: use --kubeconfig with a cluster of yours.`,
    );
  if (nodes && process.getuid?.() !== 0)
    missing.push('Starting containers needs root: run it with sudo, or use --kubeconfig with a cluster of yours.');
  const tools: ToolName[] = [...CONTROL_PLANE_TOOLS, ...(nodes ? NODE_TOOLS : [])];
  const mustBuild = tools.some((name) => !existsSync(toolPath(name)));
  if (mustBuild && version('go', ['version']) === null)
    missing.push('Go 1.26 builds Kubernetes where its binaries cannot be downloaded: install it from https://go.dev/dl.');
  const python = version('python3', ['--version']);
  if (nodes && !python?.includes('3.11'))
    missing.push(
      `Python 3.11 installs the trainer's packages (found: ${python?.trim() ?? 'none'}): install it from your package manager or pyenv.`,
    );
  return missing;
}

function version(command: string, args: string[]): string | null {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch {
    return null;
  }
}
