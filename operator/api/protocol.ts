import { z } from 'zod';

/** The group of workers that trains now, and what they shall do: the answer of `GET …/world`. */
export interface World {
  readonly training: string;
  readonly generation: number;
  /** Changes whenever anything that workers must act on changes; opaque. */
  readonly revision: string;
  readonly members: readonly { readonly rank: number; readonly pod: string; readonly address: string }[];
  /** run; checkpoint: save now and carry on; stop: save, end the processes, report "stopped". */
  readonly directive: 'run' | 'checkpoint' | 'stop';
  /** By when the directive's checkpoint must be committed (RFC 3339). */
  readonly deadline: string | null;
  /** Where to resume; null: from the base model, at step 0. */
  readonly resume: { readonly step: number; readonly uri: string } | null;
  readonly checkpointInterval: { readonly seconds: number } | { readonly steps: number };
}

const step = z.int().min(0).max(1_000_000_000);
const time = z.iso.datetime().max(40);
const seconds = z.number().min(0).max(1_000_000_000);

/** A committed checkpoint, as a worker reports it. */
export const reportedCheckpointSchema = z.strictObject({
  step,
  uri: z.string().min(1).max(1_024),
  bytes: z.number().min(0),
  savedAt: time,
  /** From the start of the save to its commit. */
  seconds,
  /** For how long training stood still. */
  stallSeconds: seconds,
  generation: z.int().min(0),
});

/** What a worker says of itself: the body of `POST …/report`. */
export const reportSchema = z.strictObject({
  generation: z.int().min(0).max(1_000_000_000),
  rank: z.int().min(0).max(100_000),
  state: z.enum(['starting', 'running', 'stopped', 'failed', 'succeeded', 'terminating']),
  step,
  totalSteps: step,
  epoch: z.number().min(0).max(1_000_000),
  loss: z.number().nullable(),
  tokensPerSecond: z.number().min(0).nullable(),
  stepSeconds: seconds.optional(),
  resumedStep: step.optional(),
  /** The last look at conversations that are not trained on. */
  validation: z.strictObject({ step, loss: z.number() }).optional(),
  checkpoint: reportedCheckpointSchema.optional(),
  exitCode: z.int().min(-255).max(255).optional(),
  message: z.string().max(2_048).optional(),
});

export type Report = z.infer<typeof reportSchema>;

/** What a task's pod says of its progress: the body of `POST /v1/tasks/{namespace}/{pod}/report`. */
export const taskReportSchema = z.strictObject({
  stage: z.string().min(1).max(63),
  done: z.number().min(0).max(1e15),
  total: z.number().min(0).max(1e15).nullable(),
  unit: z.string().min(1).max(63),
  etaSeconds: seconds.nullable(),
});

export type TaskReport = z.infer<typeof taskReportSchema>;
