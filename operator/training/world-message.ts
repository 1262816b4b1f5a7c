import { createHash } from 'node:crypto';
import type { World } from '../api/protocol.ts';
import type { Draft } from './draft.ts';
import { isoTime } from './draft.ts';

/** The world as workers receive it; null while an address is unknown (a member is gone: what was published before stays). */
export function worldForBoard(d: Draft): World | null {
  const { world } = d.status;
  if (!world) return null;
  const members = [];
  for (const { rank, pod } of world.members) {
    const address = d.state.pods.get(pod)?.address;
    if (!address) return null;
    members.push({ rank, pod, address });
  }
  const { namespace, name } = d.state.training.metadata;
  const { directive, deadline, after } = d.directive;
  const message = {
    training: `${namespace}/${name}`,
    generation: world.generation,
    members,
    directive,
    deadline: deadline === null ? null : isoTime(deadline),
    resume: world.resume ?? null,
    checkpointInterval: world.checkpointInterval,
  };
  return { ...message, revision: revisionOf(message, after) };
}

/** Deterministic from the content, so a restarted operator answers a long poll only when something really changed. */
function revisionOf(message: Omit<World, 'revision'>, after: number | undefined): string {
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...message, after }))
    .digest('base64url')
    .slice(0, 12);
  return `${message.generation}.${message.directive}.${digest}`;
}
