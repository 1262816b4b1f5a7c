// One control plane for all integration tests: a real API server, etcd, controller manager and scheduler.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeClient } from '../../operator/kube/client.ts';
import { applyCrds } from '../bench/scale.ts';
import { startControlPlane } from '../cluster/control-plane.ts';
import { Ownership } from '../cluster/ownership.ts';

export default async function setup(): Promise<() => Promise<void>> {
  const directory = mkdtempSync(join(tmpdir(), 'vicuna-integration-'));
  // However the tests end, also by Ctrl-C or kill -9: nothing of it stays.
  const ownership = Ownership.take(directory);
  const controlPlane = await startControlPlane({ directory, audit: true, podGroups: true });
  process.env.KUBECONFIG = controlPlane.kubeconfig;
  process.env.VICUNA_TEST_DIRECTORY = directory;
  const client = await KubeClient.fromKubeconfig(controlPlane.kubeconfig);
  await applyCrds(client);
  client.close();
  return async () => {
    await controlPlane.stop();
    rmSync(directory, { recursive: true, force: true });
    await ownership.release();
  };
}
