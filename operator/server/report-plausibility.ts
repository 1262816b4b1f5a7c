import type { Report, World } from '../api/protocol.ts';
import type { Worker } from './authenticator.ts';
import { ProtocolError } from './protocol-error.ts';

/** What a report is judged by. */
export type ReportContext = {
  training: string;
  worker: Worker;
  report: Report;
  /** The published world, null while there is none: before the first, and just after this copy has become leader. */
  world: World | null;
  /** Highest step this pod has reported in the report's generation. */
  reachedStep: number;
};

type Check = (context: ReportContext) => ProtocolError | undefined;

/** The first reason why a report cannot be true, or undefined. The order decides which sentence a worker reads. */
export function implausible(context: ReportContext): ProtocolError | undefined {
  for (const check of CHECKS) {
    const error = check(context);
    if (error !== undefined) return error;
  }
  return undefined;
}

const CHECKS: Check[] = [
  oldGeneration, // before anything that is judged by the present world
  unknownGeneration,
  progressWithoutWorld,
  notInWorld,
  wrongRank,
  stepBeyondEnd,
  stepBackwards,
  foreignCheckpoint,
  impossibleCheckpoint,
];

function oldGeneration({ training, report, world }: ReportContext): ProtocolError | undefined {
  // Generation 0 is a pod that has not been given a world yet: a replacement announces itself so while others still train.
  if (world === null || report.generation === 0 || report.generation >= world.generation) return undefined;
  return new ProtocolError(
    'OldGeneration',
    `Generation ${report.generation} of ${training} is over, generation ${world.generation} is current: end its processes and ask for the world.`,
  );
}

function unknownGeneration({ training, report, world }: ReportContext): ProtocolError | undefined {
  if (world === null || report.generation <= world.generation) return undefined;
  return new ProtocolError(
    'UnknownGeneration',
    `${training} has no generation ${report.generation} yet, generation ${world.generation} is current: report the generation of the world that was received.`,
  );
}

function progressWithoutWorld({ training, worker, report }: ReportContext): ProtocolError | undefined {
  if (report.generation !== 0 || (report.state !== 'running' && report.state !== 'succeeded')) return undefined;
  return new ProtocolError(
    'NotInWorld',
    `Pod ${worker.pod} reports "${report.state}" for generation 0, but nothing trains before the first world of ${training}: wait for a world and report its generation.`,
  );
}

function notInWorld({ training, worker, report, world }: ReportContext): ProtocolError | undefined {
  if (world === null || report.generation === 0 || memberOf(world, worker) !== undefined) return undefined;
  return new ProtocolError(
    'NotInWorld',
    `Pod ${worker.pod} is not a member of generation ${world.generation} of ${training}: end its processes and wait for the next world.`,
  );
}

function wrongRank({ training, worker, report, world }: ReportContext): ProtocolError | undefined {
  if (world === null || report.generation === 0) return undefined;
  const member = memberOf(world, worker);
  if (member === undefined || member.rank === report.rank) return undefined;
  return new ProtocolError(
    'WrongRank',
    `Pod ${worker.pod} has rank ${member.rank} in generation ${world.generation} of ${training}, not ${report.rank}: take the rank from the world's members.`,
  );
}

function stepBeyondEnd({ training, report }: ReportContext): ProtocolError | undefined {
  // 0 = not known yet: a program of the user's own may learn its length late.
  if (report.totalSteps === 0 || report.step <= report.totalSteps) return undefined;
  return new ProtocolError(
    'StepBeyondEnd',
    `Step ${report.step} lies beyond the ${report.totalSteps} steps of ${training}: report the optimizer steps done, and the number of all of them.`,
  );
}

function stepBackwards({ training, report, reachedStep }: ReportContext): ProtocolError | undefined {
  if (!countsSteps(report) || report.step >= reachedStep) return undefined;
  return new ProtocolError(
    'StepWentBackwards',
    `Generation ${report.generation} of ${training} was at step ${reachedStep} and cannot be at step ${report.step} now: only a new generation resumes at an earlier step.`,
  );
}

function foreignCheckpoint({ training, worker, report }: ReportContext): ProtocolError | undefined {
  if (report.checkpoint === undefined || liesBelow(worker.storage, report.checkpoint.uri)) return undefined;
  return new ProtocolError(
    'ForeignCheckpoint',
    `Checkpoint ${report.checkpoint.uri} does not lie below ${worker.storage}, the storage of ${training}: save to checkpoint.storage of VICUNA_CONFIG.`,
  );
}

function impossibleCheckpoint({ training, report }: ReportContext): ProtocolError | undefined {
  const { checkpoint } = report;
  if (checkpoint === undefined) return undefined;
  const told = (what: string) =>
    new ProtocolError(
      'ImpossibleCheckpoint',
      `Checkpoint ${checkpoint.uri} of ${training} ${what}: report the last one whose manifest exists.`,
    );
  if (report.totalSteps !== 0 && checkpoint.step > report.totalSteps)
    return told(`is of step ${checkpoint.step}, beyond its ${report.totalSteps} steps`);
  if (report.generation !== 0 && checkpoint.generation > report.generation)
    return told(`is of generation ${checkpoint.generation}, later than the report's generation ${report.generation}`);
  return undefined;
}

/**
 * Whether the report's step is one that training has reached. While starting, a worker may still show the step of the generation
 * before; and a failure is news, whatever step it comes with.
 */
export function countsSteps(report: Report): boolean {
  return report.state !== 'starting' && report.state !== 'failed';
}

function memberOf(world: World, worker: Worker): World['members'][number] | undefined {
  return world.members.find((member) => member.pod === worker.pod);
}

function liesBelow(storage: string, uri: string): boolean {
  const root = storage.replace(/\/+$/, '');
  return uri.startsWith(`${root}/`) && !uri.slice(root.length).split('/').includes('..');
}
