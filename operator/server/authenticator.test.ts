import type { V1TokenReviewStatus } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { Authenticator } from './authenticator.ts';
import { forged, reviewer, token, worker } from './test-support.ts';

const NOW = 1_800_000_000_000;
const POD = 'vicuna-13b-g1-0';

function setUp(review: (token: string) => Promise<V1TokenReviewStatus> | V1TokenReviewStatus = reviewer) {
  const clock = { now: NOW };
  const reviewed: string[] = [];
  const pods = new Map([[`team-a/vicuna-13b ${POD}`, worker(POD)]]);
  const authenticator = new Authenticator({
    review: async (token) => {
      reviewed.push(token);
      return review(token);
    },
    memberOf: (training, pod) => pods.get(`${training} ${pod}`) ?? null,
    taskPodOf: (_namespace, pod) => (pod === 'chats-dataset-1' ? 'uid-of-the-new-one' : null),
    now: () => clock.now,
  });
  const ask = (authorization: string | undefined, namespace = 'team-a', name = 'vicuna-13b') =>
    authenticator.authenticate(authorization, namespace, name);
  return { clock, reviewed, pods, ask, authenticator };
}

const bearer = (token: string) => `Bearer ${token}`;

describe('a worker pod is told by its token', () => {
  it('knows the pod', async () => {
    const { ask } = setUp();
    expect(await ask(bearer(token()))).toEqual(worker(POD));
    expect(await ask(`bearer   ${token()}`)).toEqual(worker(POD));
  });

  it.each([
    ['no token', undefined, 'TokenMissing', 401, /VICUNA_TOKEN_FILE/],
    ['an empty header', '', 'TokenMissing', 401, /VICUNA_TOKEN_FILE/],
    ['another scheme', 'Basic dXNlcjpwYXNz', 'TokenMalformed', 401, /"Bearer" and one token/],
    ['two tokens', 'Bearer a b', 'TokenMalformed', 401, /one token/],
    ['a token that is none', bearer('secret'), 'TokenMalformed', 401, /service-account token/],
    ['claims that are no JSON', bearer('a.b.c'), 'TokenMalformed', 401, /service-account token/],
    ['a huge token', bearer('a'.repeat(100_000)), 'TokenMalformed', 401, /one token/],
    ['an expired token', bearer(token({ exp: NOW / 1000 })), 'TokenExpired', 401, /kubelet renews/],
    [
      'a token for another audience',
      bearer(token({ aud: ['https://kubernetes.default.svc'] })),
      'TokenRefused',
      401,
      /audience "vicuna.run"/,
    ],
  ])('refuses %s without asking the API server', async (_what, header, code, status, sentence) => {
    const { ask, reviewed } = setUp();
    await expect(ask(header)).rejects.toMatchObject({ code, status, message: expect.stringMatching(sentence) });
    expect(reviewed).toEqual([]);
  });

  it('refuses a forged token', async () => {
    const { ask } = setUp();
    await expect(ask(bearer(forged()))).rejects.toMatchObject({ code: 'TokenRefused', status: 401 });
  });

  it('never repeats a token in a sentence', async () => {
    const { ask } = setUp();
    const error = await ask(bearer(forged())).catch((error: Error) => error);
    expect(String((error as Error).message)).not.toContain(forged().slice(0, 20));
  });

  it.each([
    ['without audiences, of an authenticator that knows none', { authenticated: true, user: reviewer(token()).user }, 'TokenRefused'],
    ['for another audience', { ...reviewer(token()), audiences: ['other'] }, 'TokenRefused'],
    [
      'of no pod',
      { authenticated: true, audiences: ['vicuna.run'], user: { username: 'system:serviceaccount:team-a:x' } },
      'NotBoundToPod',
    ],
    ['of a person', { ...reviewer(token()), user: { ...reviewer(token()).user, username: 'jane' } }, 'NotBoundToPod'],
  ])('refuses a review %s', async (_what, status, code) => {
    const { ask } = setUp(() => status as V1TokenReviewStatus);
    await expect(ask(bearer(token()))).rejects.toMatchObject({ code });
  });

  it.each([
    ['in another namespace', token({ namespace: 'team-b' }), 'vicuna-13b', 'OtherNamespace', /namespace team-a/],
    ['that works for another training', token(), 'other', 'NotAWorker', /VICUNA_TRAINING/],
    ['that works for none', token({ pod: 'stranger' }), 'vicuna-13b', 'NotAWorker', /not a worker/],
  ])('refuses a pod %s', async (_what, token, name, code, sentence) => {
    const { ask } = setUp();
    await expect(ask(bearer(token), 'team-a', name)).rejects.toMatchObject({ code, status: 403, message: expect.stringMatching(sentence) });
  });

  it('refuses the token of an earlier pod of the same name', async () => {
    const { ask, pods } = setUp();
    await ask(bearer(token()));
    pods.set(`team-a/vicuna-13b ${POD}`, { ...worker(POD), podUid: 'another' });
    await expect(ask(bearer(token()))).rejects.toMatchObject({ code: 'PodReplaced', status: 403 });
  });
});

describe('reviews of tokens', () => {
  it('asks once per token, also when many ask at once', async () => {
    const { ask, reviewed } = setUp();
    await Promise.all(Array.from({ length: 100 }, () => ask(bearer(token()))));
    await ask(bearer(token()));
    expect(reviewed).toHaveLength(1);
  });

  it('asks again after ten minutes', async () => {
    const { ask, reviewed, clock } = setUp();
    await ask(bearer(token()));
    clock.now += 10 * 60_000 - 1;
    await ask(bearer(token()));
    expect(reviewed).toHaveLength(1);
    clock.now += 1;
    await ask(bearer(token()));
    expect(reviewed).toHaveLength(2);
  });

  it('trusts no token beyond its own end', async () => {
    const { ask, clock } = setUp();
    const short = bearer(token({ exp: NOW / 1000 + 60 }));
    await ask(short);
    clock.now += 60_000;
    await expect(ask(short)).rejects.toMatchObject({ code: 'TokenExpired' });
  });

  it('remembers a refusal for ten seconds', async () => {
    const { ask, reviewed, clock } = setUp();
    const again = () => expect(ask(bearer(forged()))).rejects.toMatchObject({ code: 'TokenRefused' });
    await again();
    await again();
    expect(reviewed).toHaveLength(1);
    clock.now += 10_000;
    await again();
    expect(reviewed).toHaveLength(2);
  });

  it('answers 503 when the API server does not, and remembers nothing of it', async () => {
    let down = true;
    const { ask } = setUp((token) => {
      if (down) throw new Error(`connect ECONNREFUSED while reviewing ${token}`);
      return reviewer(token);
    });
    const error = await ask(bearer(token())).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'ReviewUnavailable', status: 503, retryAfterSeconds: 2 });
    expect(String(error)).not.toContain(token());
    down = false;
    expect(await ask(bearer(token()))).toEqual(worker(POD));
  });

  it('keeps a flood of forged tokens from the API server and from the trusted ones', async () => {
    const open: (() => void)[] = [];
    const { ask, reviewed } = setUp(async (candidate) => {
      if (candidate !== token()) await new Promise<void>((resolve) => open.push(resolve));
      return reviewer(candidate);
    });
    await ask(bearer(token()));
    const flood = Array.from({ length: 1_000 }, (_, index) =>
      ask(bearer(forged({ exp: 3_000_000_000 + index }))).catch((error: unknown) => error),
    );
    expect(await ask(bearer(token()))).toEqual(worker(POD));
    expect(reviewed).toHaveLength(1 + 256);
    for (const answer of open) answer();
    const codes = (await Promise.all(flood)).map((error) => (error as { code: string }).code);
    expect(codes.filter((code) => code === 'ReviewUnavailable')).toHaveLength(1_000 - 256);
    expect(codes.filter((code) => code === 'TokenRefused')).toHaveLength(256);
  });
});

describe('a task’s pod', () => {
  it('that has been replaced is told to end', async () => {
    const { authenticator } = setUp();
    const header = bearer(token({ pod: 'chats-dataset-1' }));
    await expect(authenticator.authenticateTask(header, 'team-a', 'chats-dataset-1')).rejects.toMatchObject({
      code: 'PodReplaced',
      status: 403,
    });
  });
});
