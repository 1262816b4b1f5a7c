import { readFileSync } from 'node:fs';

/** A process as nothing else can be: pids come again, a pid with the moment it started does not (until the machine restarts). */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly started: string;
}

/** null when there is no such process. */
export function identityOf(pid: number): ProcessIdentity | null {
  try {
    // The command's name stands in parentheses and may itself contain spaces and parentheses: the fields are counted from its end.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, started] = [fields[0], fields[19]];
    return started === undefined || state === 'Z' ? null : { pid, started };
  } catch {
    return null;
  }
}

export function isRunning(process: ProcessIdentity): boolean {
  return identityOf(process.pid)?.started === process.started;
}
