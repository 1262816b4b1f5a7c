import type { TaskObject } from '../api/task.ts';
import type { ResourceType } from '../kube/types.ts';
import type { TaskResult } from '../server/metrics.ts';
import type { TaskProgram } from './pods.ts';
import type { Problem } from './state.ts';

/** What one kind of task is, besides a task. */
export interface TaskKind<T extends TaskObject> {
  readonly type: ResourceType<T>;
  /** On its pods, with the object's name. */
  readonly label: string;
  /** Ends the name that its pods' names begin with. */
  readonly suffix: string;
  withDefaults(object: T): T;
  /** Secrets that its pods need, and the field that names each. */
  secretsOf(object: T): readonly { readonly field: string; readonly name: string }[];
  /** What else is missing for a pod to start, from the caches alone, or null. */
  missing(object: T): Problem | null;
  program(object: T): TaskProgram;
  /** Takes in what the program left behind; a problem when it is no result, or one that is a failure. */
  conclude(object: T, result: string): { readonly status: object; readonly problem: Problem | null };
  /** Brings what follows from the common part of the status up to date, before it is written. */
  derive?(object: T): void;
  /** What its status says of the result, in figures; empty before there are any. */
  results(object: T): readonly TaskResult[];
}
