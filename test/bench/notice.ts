import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildOperator } from '../../operator/build.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { startControlPlane } from '../cluster/control-plane.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { until } from '../cluster/run.ts';
import { FakeGang, startFakePool } from '../integration/fake-gang.ts';
import { applyCrds, quantile } from './scale.ts';

export const NOTICE_SETTINGS = { notices: 50, workers: 2 };

/** From the moment that a node's taint is sent to the API server until each worker has the directive, over many notices. */
export async function benchNotice({ notices }: typeof NOTICE_SETTINGS): Promise<Record<string, number>> {
  const directory = mkdtempSync(join(tmpdir(), 'vicuna-notice-'));
  const controlPlane = await startControlPlane({ directory });
  const client = await KubeClient.fromKubeconfig(controlPlane.kubeconfig);
  await applyCrds(client);
  const nodes = await startFakePool(controlPlane, client, 'notice');
  const main = await buildOperator(join(directory, 'operator'));
  const operator = await OperatorProcess.start({ kubeconfig: controlPlane.kubeconfig, logFile: join(directory, 'operator.log'), main });
  const gang = await FakeGang.start(client, controlPlane.kubeconfig, 'noticed', () => operator.url);
  try {
    await until('the gang held', 60_000, async () => {
      await gang.attend();
      return gang.isHeld(await operator.metrics());
    });
    const seconds: number[] = [];
    for (let i = 1; i <= notices; i++) {
      let announcedAt = Number.POSITIVE_INFINITY;
      let told = 0;
      gang.onWorld = (world) => {
        if (world.directive !== 'checkpoint' || told === NOTICE_SETTINGS.workers) return;
        told++;
        seconds.push((performance.now() - announcedAt) / 1000);
      };
      const takeBack = await gang.announce(() => {
        announcedAt = performance.now();
      });
      await until(`notice ${i} survived`, 60_000, async () => {
        await gang.attend();
        return gang.hasMoved(i);
      });
      await takeBack();
    }
    seconds.sort((a, b) => a - b);
    return { directives: seconds.length, noticeToDirectiveP50: quantile(seconds, 0.5), noticeToDirectiveP99: quantile(seconds, 0.99) };
  } finally {
    await gang.remove();
    await operator.stop();
    await nodes.stop();
    client.close();
    await controlPlane.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
