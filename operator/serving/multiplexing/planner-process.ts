// A process of its own: a large plan computes for seconds, in which nobody could be told of an interruption.
import { createHash } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { attainmentIn, type MultiplexRequest, multiplexOnFewestNodes } from '../../spot/multiplexing/multiplex.ts';
import { gibPerGpu } from '../../spot/multiplexing/profile.ts';
import { type Grouping, placedGroups, type SharedGroup, sharedGroups } from '../../spot/multiplexing/regroup.ts';

export interface PlannerInput {
  readonly request: MultiplexRequest;
  readonly target: number;
  readonly current: readonly SharedGroup[];
}

export type PlannerOutput = { readonly best: Grouping; readonly current: Grouping } | { readonly problem: string };

function nameOf(content: string): string {
  return `group-${createHash('sha256').update(content).digest('hex').slice(0, 8)}`;
}

const { request, target, current } = JSON.parse(await text(process.stdin)) as PlannerInput;
const order = request.models.map((m) => m.name);
let output: PlannerOutput;
try {
  const plan = multiplexOnFewestNodes(request, target);
  const fits = ({ models, pipeline, tensor }: SharedGroup) =>
    request.models.reduce((gib, m) => gib + (models.includes(m.name) ? gibPerGpu(m, { pipeline, tensor }) : 0), 0) <=
    request.gpus.memoryGiB;
  const now = current.every(fits) ? attainmentIn(request, placedGroups(current)).attainment : 0;
  output = {
    best: { groups: sharedGroups(plan.groups, order, nameOf), attainment: plan.attainment },
    current: { groups: current, attainment: now },
  };
} catch (error) {
  output = { problem: (error as Error).message };
}
process.stdout.write(JSON.stringify(output));
