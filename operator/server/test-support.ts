import type { V1TokenReviewStatus } from '@kubernetes/client-node';
import type { Report, World } from '../api/protocol.ts';
import type { Worker } from './authenticator.ts';

/** What tests of this room share: tokens, pods, worlds and reports that are right, to be made wrong one field at a time. */
export const TRAINING = 'team-a/vicuna-13b';
export const STORAGE = 's3://checkpoints/vicuna-13b';

export function worker(pod: string): Worker {
  return { pod, podUid: `uid-of-${pod}`, storage: STORAGE };
}

export function world(generation: number, pods: string[], changes: Partial<World> = {}): World {
  return {
    training: TRAINING,
    generation,
    revision: `${generation}-run`,
    members: pods.map((pod, rank) => ({ rank, pod, address: `10.0.0.${rank + 1}` })),
    directive: 'run',
    deadline: null,
    resume: null,
    checkpointInterval: { seconds: 600 },
    ...changes,
  };
}

export function report(changes: Partial<Report> = {}): Report {
  return {
    generation: 1,
    rank: 0,
    state: 'running',
    step: 10,
    totalSteps: 100,
    epoch: 0.1,
    loss: 2.5,
    tokensPerSecond: 1_000,
    ...changes,
  };
}

export function checkpoint(step: number, generation = 1): NonNullable<Report['checkpoint']> {
  return {
    step,
    uri: `${STORAGE}/step-${String(step).padStart(8, '0')}-g${generation}`,
    bytes: 1_000_000,
    savedAt: '2026-11-23T12:00:00Z',
    seconds: 4,
    stallSeconds: 0.2,
    generation,
  };
}

export type Claims = { exp?: number; aud?: unknown; pod?: string; namespace?: string };

/** A token in the form of a Kubernetes one; `reviewer` stands in for the API server that signed it. */
export function token({ exp = 4_000_000_000, aud = ['vicuna.run'], pod = 'vicuna-13b-g1-0', namespace = 'team-a' }: Claims = {}): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part({ exp, aud, pod, namespace })}.${Buffer.from('signed').toString('base64url')}`;
}

/** The same claims with a signature the API server does not know. */
export function forged(claims: Claims = {}): string {
  return `${token(claims).split('.').slice(0, 2).join('.')}.${Buffer.from('forged').toString('base64url')}`;
}

/** What the API server's TokenReview answers for such tokens. */
export function reviewer(token: string): V1TokenReviewStatus {
  const [, claims = '', signature = ''] = token.split('.');
  if (Buffer.from(signature, 'base64url').toString() !== 'signed') return { authenticated: false, error: 'invalid bearer token' };
  const { pod, namespace, aud } = JSON.parse(Buffer.from(claims, 'base64url').toString());
  return {
    authenticated: true,
    audiences: aud,
    user: {
      username: `system:serviceaccount:${namespace}:trainer`,
      extra: { 'authentication.kubernetes.io/pod-name': [pod], 'authentication.kubernetes.io/pod-uid': [`uid-of-${pod}`] },
    },
  };
}
