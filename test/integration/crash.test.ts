import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { LEASE } from '../../operator/kube/types.ts';
import { freePorts } from '../cluster/control-plane.ts';
import type { KwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { until } from '../cluster/run.ts';
import { FakeGang, HELD_AT, startFakePool, TOTAL_STEPS } from './fake-gang.ts';
import { WriteProxy } from './write-proxy.ts';

const POOL = 'crash';
const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
let client: KubeClient;
let nodes: KwokNodes;
let proxy: WriteProxy;
let proxied: string;
let port: number;

beforeAll(async () => {
  client = await KubeClient.fromKubeconfig(kubeconfig);
  nodes = await startFakePool({ kubeconfig, directory }, client, POOL);
  proxy = await WriteProxy.start(kubeconfig);
  proxied = join(directory, 'proxied.kubeconfig');
  writeFileSync(
    proxied,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'p', cluster: { server: proxy.url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'p', user: {} }],
      contexts: [{ name: 'p', context: { cluster: 'p', user: 'p' } }],
      'current-context': 'p',
    }),
  );
  [port = 0] = await freePorts(1);
});

afterAll(async () => {
  proxy?.close();
  await nodes?.stop();
  await client?.delete(GPU_POOL, undefined, POOL);
  client?.close();
});

const startOperator = () =>
  OperatorProcess.start({ kubeconfig: proxied, port, logFile: join(directory, 'crash-operator.log'), env: { VICUNA_LOG_LEVEL: 'warn' } });

/**
 * One whole life of a training: start, an announced interruption, the move, the end. At the write that `cut` names the operator is
 * killed and another one started. Returns what the end looks like, and which writes it took.
 */
async function life(name: string, cut: { at: number; when: 'before' | 'after' } | null): Promise<{ end: object; writes: string[] }> {
  proxy.reset();
  let operator = await startOperator();
  const crashed = Promise.withResolvers<void>();
  if (cut) {
    proxy.cutAt(cut.at, cut.when, () => {
      operator.kill();
      crashed.resolve();
    });
  }
  let over = false;
  // The write to be cut may be one of the last, after which nothing is left to recover: nobody waits for this.
  void crashed.promise.then(async () => {
    await operator.ended;
    // Stands for the 15 s in which the dead leader's lease expires.
    await client.delete(LEASE, 'default', 'vicuna-operator');
    if (!over) operator = await startOperator();
  });
  const gang = await FakeGang.start(client, kubeconfig, name, () => operator.url);
  try {
    await until(`${name} at step ${HELD_AT}`, 90_000, async () => {
      await gang.attend();
      return gang.isHeld(await operator.metrics());
    });
    const takeBack = await gang.announce();
    await until(`${name} moved and resumed`, 90_000, async () => {
      await gang.attend();
      return gang.hasMoved();
    });
    gang.release();
    await until(`${name} complete`, 90_000, async () => (await gang.status())?.phase === 'Complete');
    await takeBack();
    const writes = proxy.writes.map((w) => w.replaceAll(name, 'NAME'));
    return { end: await endOf(gang), writes };
  } finally {
    over = true;
    operator.kill();
    await operator.ended;
    await client.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
    await gang.remove();
  }
}

/** What must be the same however often the operator died. */
async function endOf(gang: FakeGang): Promise<object> {
  const status = await gang.status();
  return {
    phase: status?.phase,
    step: status?.progress?.step,
    checkpointStep: status?.checkpoint?.step,
    interruptions: status?.totals?.interruptions,
    lostSteps: status?.totals?.lostSteps,
    resumedStep: status?.interruptions?.[0]?.resumedStep,
    retries: status?.retries ?? [],
    conditions: status?.conditions
      ?.filter((c) => c.status === 'True')
      .map((c) => c.type)
      .sort(),
  };
}

describe('an operator that is killed at any write', () => {
  it('leaves a training that ends like an undisturbed one', async () => {
    const calm = await life('calm', null);
    expect(calm.end).toMatchObject({ phase: 'Complete', step: TOTAL_STEPS, interruptions: 1, lostSteps: 0, resumedStep: HELD_AT });
    expect(calm.writes.length).toBeGreaterThan(6);
    console.log(`Killed before and after each of these writes:\n${calm.writes.map((w, i) => `  ${i + 1}  ${w}`).join('\n')}`);
    for (let at = 1; at <= calm.writes.length; at++) {
      for (const when of ['before', 'after'] as const) {
        const { end } = await life(`cut-${at}-${when}`, { at, when });
        expect(end, `killed ${when} write ${at}: ${calm.writes[at - 1]}`).toEqual(calm.end);
      }
    }
  }, 900_000);
});
