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

function earlierCheckpoint({ spec }: Draft): { step: number; generation: number } | null {
  const [, step, generation] = /^step-(\d+)-g(\d+)$/.exec(spec.checkpoint.resumeFrom ?? '') ?? [];
  return step === undefined ? null : { step: Number(step), generation: Number(generation) };
}
