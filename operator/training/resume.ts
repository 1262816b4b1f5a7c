import { CHECKPOINT_NAME } from '../api/vicuna-training.ts';
import { workerUri } from '../pods/claims.ts';
import type { Draft } from './draft.ts';

export interface ResumePoint {
  readonly step: number;
  readonly uri: string;
}

/** Where a world resumes: from this training's last committed checkpoint, before there is one from an earlier training's that the spec names. */
export function resumePoint(d: Draft): ResumePoint | null {
  const { checkpoint } = d.status;
  if (checkpoint) return { step: checkpoint.step, uri: checkpoint.uri };
  const { resumeFrom, storage } = d.spec.checkpoint;
  const earlier = earlierCheckpoint(d);
  return earlier && { step: earlier.step, uri: `${workerUri(storage).replace(/\/+$/, '')}/${resumeFrom}` };
}

/** The newest generation that is taken: those of this training follow that of the checkpoint that it goes on from, as if they were one. */
export function lastGeneration(d: Draft): number {
  return d.status.generation ?? earlierCheckpoint(d)?.generation ?? 0;
}

/** How another training goes on from here, as the end of a sentence. A program of the user's own names its checkpoints as it likes. */
export function resumeWords(d: Draft): string {
  const point = resumePoint(d);
  if (point === null) return '';
  const name = point.uri.split('/').at(-1) ?? '';
  return CHECKPOINT_NAME.pattern.test(name) ? ` with checkpoint.resumeFrom: ${name}` : `; the last checkpoint is ${point.uri}`;
}

function earlierCheckpoint({ spec }: Draft): { step: number; generation: number } | null {
  const [, step, generation] = CHECKPOINT_NAME.pattern.exec(spec.checkpoint.resumeFrom ?? '') ?? [];
  return step === undefined ? null : { step: Number(step), generation: Number(generation) };
}
