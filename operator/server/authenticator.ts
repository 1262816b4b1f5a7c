import { createHash } from 'node:crypto';
import type { V1TokenReviewStatus } from '@kubernetes/client-node';
import { BoundedCache } from './bounded-cache.ts';
import { ProtocolError } from './protocol-error.ts';

/** The audience that worker pods' projected tokens are made for. */
export const AUDIENCE = 'vicuna.run';

/** Who a token speaks for: one pod, by name and uid. */
export type PodIdentity = { namespace: string; pod: string; podUid: string; cluster: string | null };

/** A pod of a task, which speaks for itself alone. */
export type TaskPodIdentity = PodIdentity;

/** What the controller knows of a pod that works for a training. */
export type Worker = {
  pod: string;
  podUid: string;
  /** `spec.checkpoint.storage` of its training, as workers see it: checkpoints lie below it. */
  storage: string;
};

/** The training's pod of that name in the cluster, or null when the training ("namespace/name") has no such pod there. */
export type MemberOf = (training: string, pod: string, cluster: string | null) => Worker | null;

/** Uid of the task's pod of that name, or null when no task has such a pod. */
export type TaskPodOf = (namespace: string, pod: string) => string | null;

export type AuthenticatorOptions = {
  /**
   * Creates a TokenReview for the audience "vicuna.run" in the clusters that the training has pods in, and returns its status and the
   * cluster whose word it is; throws when none can be asked.
   */
  review: (token: string, training: string) => Promise<V1TokenReviewStatus & { cluster?: string | null }>;
  memberOf: MemberOf;
  taskPodOf: TaskPodOf;
  now: () => number;
};

const MAX_TOKEN_LENGTH = 16_384;
const MAX_TRUST_MS = 10 * 60_000;
/** Long enough to absorb a worker that retries, short enough that a token repaired by the API server works again soon. */
const REFUSAL_MS = 10_000;
const CACHE_ENTRIES = 20_000;
/** More reviews than this at once would be the work of forged tokens, not of pods: a gang's pods start over seconds. */
const MAX_CONCURRENT_REVIEWS = 256;

/**
 * Tells which worker pod a request comes from.
 *
 * A token is reviewed by the API server once and then trusted until it expires, at most ten minutes. That a pod has been
 * deleted in the meantime shows in `memberOf`, which is asked every time.
 */
export class Authenticator {
  readonly #review: AuthenticatorOptions['review'];
  readonly #memberOf: MemberOf;
  readonly #taskPodOf: TaskPodOf;
  readonly #now: () => number;
  // Two caches, so that a flood of forged tokens cannot push out the true ones. Keys are digests: no token is kept in memory.
  readonly #trusted = new BoundedCache<PodIdentity>(CACHE_ENTRIES);
  readonly #refused = new BoundedCache<ProtocolError>(CACHE_ENTRIES);
  readonly #inFlight = new Map<string, Promise<PodIdentity>>();

  constructor({ review, memberOf, taskPodOf, now }: AuthenticatorOptions) {
    this.#review = review;
    this.#memberOf = memberOf;
    this.#taskPodOf = taskPodOf;
    this.#now = now;
  }

  /**
   * The worker that `authorization` (the header) proves to be calling on behalf of training `namespace/name`.
   * Throws ProtocolError: 401 for a token that proves nothing, 403 for one of another pod, 503 when the API server does not answer.
   */
  async authenticate(authorization: string | undefined, namespace: string, name: string): Promise<Worker> {
    const token = bearerToken(authorization);
    const identity = await this.#identify(token, `${namespace}/${name}`);
    if (identity.namespace !== namespace)
      throw new ProtocolError(
        'OtherNamespace',
        `Pod ${identity.namespace}/${identity.pod} may not act for a training in namespace ${namespace}: call with the token of one of that training's own pods.`,
      );
    // A cluster vouches for its own pods only.
    const worker = this.#memberOf(`${namespace}/${name}`, identity.pod, identity.cluster);
    if (worker === null)
      throw new ProtocolError(
        'NotAWorker',
        `Pod ${identity.pod} is not a worker of training ${namespace}/${name}: check VICUNA_TRAINING, and that the pod carries the label vicuna.run/training=${name}.`,
      );
    if (worker.podUid !== identity.podUid) throw replaced(identity);
    return worker;
  }

  /** The task's pod that `authorization` proves to be calling for itself. Throws as `authenticate` does. */
  async authenticateTask(authorization: string | undefined, namespace: string, pod: string): Promise<TaskPodIdentity> {
    const identity = await this.#identify(bearerToken(authorization), `${namespace}/${pod}`);
    if (identity.namespace !== namespace || identity.pod !== pod || identity.cluster !== null)
      throw new ProtocolError(
        'OtherPod',
        `Pod ${identity.namespace}/${identity.pod} may not report for pod ${namespace}/${pod}: call with the name that VICUNA_TASK has.`,
      );
    const podUid = this.#taskPodOf(namespace, pod);
    if (podUid === null)
      throw new ProtocolError(
        'NotATask',
        `Pod ${namespace}/${pod} is no pod of a VicunaDataset, VicunaEvaluation or release: only those report here.`,
      );
    if (podUid !== identity.podUid) throw replaced(identity);
    return identity;
  }

  async #identify(token: string, training: string): Promise<PodIdentity> {
    const now = this.#now();
    const digest = createHash('sha256').update(token).digest('base64');
    const known = this.#trusted.get(digest, now);
    if (known !== undefined) return known;
    const claims = readClaims(token);
    if (claims.expiresAt <= now)
      throw new ProtocolError('TokenExpired', 'The token has expired: read it again from VICUNA_TOKEN_FILE, which the kubelet renews.');
    const refusal = this.#refused.get(digest, now);
    if (refusal !== undefined) throw refusal;
    const running = this.#inFlight.get(digest);
    if (running !== undefined) return running;
    if (this.#inFlight.size >= MAX_CONCURRENT_REVIEWS)
      throw new ProtocolError('ReviewUnavailable', 'Too many tokens are being reviewed at once: try again in a second.', 1);
    const review = this.#reviewOnce(token, training, digest, claims.expiresAt).finally(() => this.#inFlight.delete(digest));
    this.#inFlight.set(digest, review);
    return review;
  }

  async #reviewOnce(token: string, training: string, digest: string, expiresAt: number): Promise<PodIdentity> {
    let status: V1TokenReviewStatus & { cluster?: string | null };
    try {
      status = await this.#review(token, training);
    } catch {
      // The cause is the API server's; the review function's own client counts it. It may quote the request: not passed on.
      throw new ProtocolError('ReviewUnavailable', 'The API server could not review the token: train on and try again in two seconds.', 2);
    }
    const now = this.#now();
    try {
      const identity = identityOf(status);
      this.#trusted.set(digest, identity, Math.min(expiresAt, now + MAX_TRUST_MS));
      return identity;
    } catch (error) {
      if (error instanceof ProtocolError) this.#refused.set(digest, error, now + REFUSAL_MS);
      throw error;
    }
  }
}

function replaced({ pod }: PodIdentity): ProtocolError {
  return new ProtocolError(
    'PodReplaced',
    `The token belongs to an earlier pod of the name ${pod}, which has been replaced: end this process.`,
  );
}

function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined || authorization === '')
    throw new ProtocolError(
      'TokenMissing',
      'The request carries no token: send "Authorization: Bearer" with the content of the file named by VICUNA_TOKEN_FILE.',
    );
  const [, token] = /^bearer +(\S+) *$/i.exec(authorization.slice(0, MAX_TOKEN_LENGTH + 16)) ?? [];
  if (token === undefined || token.length > MAX_TOKEN_LENGTH)
    throw new ProtocolError(
      'TokenMalformed',
      'The Authorization header is not "Bearer" and one token: send the content of VICUNA_TOKEN_FILE.',
    );
  return token;
}

/**
 * What a token says of itself, before anyone has checked its signature. It can only lead to a refusal: nonsense, stale tokens and
 * tokens made for somebody else never cost the API server a review.
 */
function readClaims(token: string): { expiresAt: number } {
  const parts = token.split('.');
  const claims = parts.length === 3 ? parseObject(Buffer.from(parts[1] ?? '', 'base64url').toString('utf8')) : undefined;
  if (claims === undefined || typeof claims.exp !== 'number')
    throw new ProtocolError('TokenMalformed', 'The token is not a service-account token: send the content of VICUNA_TOKEN_FILE.');
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (!audiences.includes(AUDIENCE)) throw wrongAudience();
  return { expiresAt: claims.exp * 1000 };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function wrongAudience(): ProtocolError {
  return new ProtocolError(
    'TokenRefused',
    `The token is not made for the audience "${AUDIENCE}": send the projected token of VICUNA_TOKEN_FILE, not the pod's default one.`,
  );
}

function identityOf(status: V1TokenReviewStatus & { cluster?: string | null }): PodIdentity {
  if (status.authenticated !== true)
    throw new ProtocolError(
      'TokenRefused',
      'The API server does not accept the token: read it again from VICUNA_TOKEN_FILE; if that does not help, the pod has been deleted.',
    );
  // An authenticator that knows nothing of audiences returns none, and would accept a token made for anyone.
  if (!status.audiences?.includes(AUDIENCE)) throw wrongAudience();
  const [, namespace] = /^system:serviceaccount:([^:]+):[^:]+$/.exec(status.user?.username ?? '') ?? [];
  const pod = status.user?.extra?.['authentication.kubernetes.io/pod-name']?.[0];
  const podUid = status.user?.extra?.['authentication.kubernetes.io/pod-uid']?.[0];
  if (namespace === undefined || !pod || !podUid)
    throw new ProtocolError('NotBoundToPod', 'The token is not bound to a pod: send the projected token of VICUNA_TOKEN_FILE.');
  return { namespace, pod, podUid, cluster: status.cluster ?? null };
}
