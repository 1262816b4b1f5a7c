import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { LEASE } from '../../operator/kube/types.ts';
import type { KwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { until } from '../cluster/run.ts';
import { FakeGang, HELD_AT, startFakePool } from './fake-gang.ts';

const POOL = 'failover';
const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
let client: KubeClient;
let nodes: KwokNodes;
const copies: OperatorProcess[] = [];

beforeAll(async () => {
  client = await KubeClient.fromKubeconfig(kubeconfig);
  nodes = await startFakePool({ kubeconfig, directory }, client, POOL);
});

afterAll(async () => {
  for (const copy of copies) copy.kill();
  await Promise.all(copies.map((copy) => copy.ended));
  await client?.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
  await nodes?.stop();
  await client?.delete(GPU_POOL, undefined, POOL);
  client?.close();
});

async function startCopy(): Promise<OperatorProcess> {
  const copy = await OperatorProcess.start({ kubeconfig, logFile: join(directory, `failover-${copies.length}.log`) });
  copies.push(copy);
  return copy;
}

async function leads(copy: OperatorProcess): Promise<boolean> {
  return (await copy.metrics()).includes('leader_election_master_status{name="vicuna-operator"} 1');
}

/** Seconds until the copy leads. */
async function untilLeading(copy: OperatorProcess, limitMs: number): Promise<number> {
  const since = performance.now();
  await until('the other copy leading', limitMs, () => leads(copy), 20);
  return (performance.now() - since) / 1000;
}

/** Writes that the copy has made, its lease and questions about tokens aside. */
async function writes(copy: OperatorProcess): Promise<number> {
  return (await copy.metrics())
    .split('\n')
    .filter(
      (line) => line.startsWith('vicuna_api_requests_total{') && !/verb="(get|list|watch)"|resource="(leases|tokenreviews)"/i.test(line),
    )
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

describe('two copies of the operator', () => {
  it('act as one: the standby only passes on, and takes over with nothing lost', async () => {
    const first = await startCopy();
    await until('the first copy leading', 30_000, () => leads(first));
    const second = await startCopy();
    let spoken = second;
    // Workers may reach either copy: here always the one that does not lead.
    const gang = await FakeGang.start(client, kubeconfig, 'two-copies', () => spoken.url);
    await until(`step ${HELD_AT}`, 60_000, async () => {
      await gang.attend();
      return gang.isHeld(await first.metrics());
    });
    expect(await writes(first)).toBeGreaterThan(3);
    expect(await writes(second)).toBe(0);

    // A clean shutdown hands over at once.
    const shutDownAt = performance.now();
    const ended = first.stop();
    await untilLeading(second, 10_000);
    expect((performance.now() - shutDownAt) / 1000).toBeLessThan(3);
    await ended;

    // The new leader goes on with what the old one had begun.
    const third = await startCopy();
    spoken = third;
    await gang.announce();
    await until('moved and resumed', 60_000, async () => {
      await gang.attend();
      return gang.hasMoved();
    });
    expect(await writes(third)).toBe(0);

    // A death leaves the lease to expire.
    second.kill();
    expect(await untilLeading(third, 30_000)).toBeLessThan(20);
    gang.release();
    await until('complete', 60_000, async () => (await gang.status())?.phase === 'Complete');
    expect((await gang.status())?.totals).toMatchObject({ interruptions: 1, lostSteps: 0 });
    await gang.remove();
  }, 240_000);
});
