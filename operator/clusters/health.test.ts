import { describe, expect, it } from 'vitest';
import { POOL_CONDITIONS } from '../api/conditions.ts';
import { ApiError } from '../kube/client.ts';
import { afterAnswer, afterFailure, connecting, isLost, isRefusedCredential, LOST_AFTER_MS } from './health.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

describe("a remote cluster's health", () => {
  it('gives a cluster up only after it has been out of reach for long, counted from the first failure', () => {
    let health = afterAnswer(connecting(NOW), 10, NOW);
    expect(health).toMatchObject({ reachable: true, reason: 'Connected' });
    health = afterFailure(health, 'ConnectionFailed', 'no answer', NOW + 5_000);
    health = afterFailure(health, 'CredentialsRefused', 'refused', NOW + 10_000);
    expect(isLost(health, NOW + 5_000 + LOST_AFTER_MS - 1)).toBe(false);
    expect(isLost(health, NOW + 5_000 + LOST_AFTER_MS)).toBe(true);
    const back = afterAnswer(health, 10, NOW + 100_000);
    expect(back).toMatchObject({ reachable: true, since: NOW + 100_000 });
    expect(isLost(back, NOW + 1_000_000)).toBe(false);
  });

  it('gives up one that was never reached, too', () => {
    expect(isLost(connecting(NOW), NOW + LOST_AFTER_MS)).toBe(true);
  });

  it('says that a cluster is slow, and uses it all the same', () => {
    expect(afterAnswer(connecting(NOW), 3_000, NOW)).toMatchObject({
      reachable: true,
      reason: 'Slow',
      message: expect.stringMatching(/3\.0 s/),
    });
  });

  it('tells refused credentials from everything else', () => {
    expect(isRefusedCredential(new ApiError(401, 'Unauthorized', ''))).toBe(true);
    expect(isRefusedCredential(new ApiError(403, 'Forbidden', ''))).toBe(true);
    expect(isRefusedCredential(new ApiError(503, 'ServiceUnavailable', ''))).toBe(false);
    expect(isRefusedCredential(new Error('no answer'))).toBe(false);
  });

  it('has a reason for each state that the condition documents', () => {
    const reasons = ['Connected', 'Slow', 'Connecting', 'MissingSecret', 'BadKubeconfig', 'CredentialsRefused', 'ConnectionFailed'];
    expect(Object.keys(POOL_CONDITIONS.Reachable.reasons).toSorted()).toEqual(reasons.toSorted());
  });
});
