import { mkdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { V1Secret } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL, type GpuPool } from '../../operator/api/gpu-pool.ts';
import { SERVING, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { DEPLOYMENT, ENDPOINT_SLICE, LEASE, NODE, POD, SECRET } from '../../operator/kube/types.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { type KwokNodes, startKwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { ROOT } from '../cluster/paths.ts';
import { run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { FakeGang, HELD_AT } from './fake-gang.ts';

const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
const LABELS = { 'faults.vicuna.run/pool': 'multi-cluster' };
const WEST = 'west-kubeconfig';

let home: KubeClient;
let west: KubeClient;
let westPlane: ControlPlane;
let link: Link;
let westToken = '';
const nodes: KwokNodes[] = [];
let operator: OperatorProcess;

/** The only way from the operator to the remote API server, which a test can cut. */
class Link {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  isCut = false;

  private constructor(port: number) {
    this.#server = createServer((socket) => {
      if (this.isCut) return socket.destroy();
      const upstream = connect(port, '127.0.0.1');
      for (const one of [socket, upstream]) {
        this.#sockets.add(one);
        one.on('error', () => undefined).on('close', () => this.#sockets.delete(one));
      }
      socket.pipe(upstream).pipe(socket);
    });
  }

  static async start(port: number): Promise<Link> {
    const link = new Link(port);
    await new Promise<void>((resolve) => link.#server.listen(0, '127.0.0.1', resolve));
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

/** What a platform team would put into the Secret, here by way of the link. */
function westKubeconfig(token = westToken): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'west',
        cluster: {
          server: `https://127.0.0.1:${link.port}`,
          'certificate-authority-data': readFileSync(westPlane.pki.ca).toString('base64'),
        },
      },
    ],
    users: [{ name: 'operator', user: { token } }],
    contexts: [{ name: 'west', context: { cluster: 'west', user: 'operator' } }],
    'current-context': 'west',
  });
}

/** Makes the account that the docs tell to make, and returns its token. */
async function makeAccount(): Promise<string> {
  const file = join(ROOT, 'examples', 'remote-cluster-access.yaml');
  await run(toolPath('kubectl'), ['--kubeconfig', westPlane.kubeconfig, 'apply', '-f', file]);
  let token = '';
  await until('the token of the account', 30_000, async () => {
    const secret = await west.get(SECRET, 'vicuna-remote', 'vicuna-operator');
    token = Buffer.from(secret.data?.token ?? '', 'base64').toString();
    return token !== '';
  });
  return token;
}

async function setSecret(text: string): Promise<void> {
  const data = { kubeconfig: Buffer.from(text).toString('base64') };
  const secret: V1Secret = { metadata: { name: WEST, namespace: 'default' }, data };
  await home.apply(SECRET, secret);
}

function pool(name: string, spot: string, cluster?: object): GpuPool {
  return {
    metadata: { name },
    spec: {
      cloud: 'aws',
      capacity: 'spot',
      accelerator: { type: 'A100', count: 1, resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '3', spot },
      nodeSelector: LABELS,
      notice: '120s',
      ...(cluster ? { cluster } : {}),
    },
  } as unknown as GpuPool;
}

async function reachable(): Promise<string> {
  const found = await home.get(GPU_POOL, undefined, 'west');
  const condition = found.status?.conditions?.find((c) => c.type === 'Reachable');
  return `${condition?.status} ${condition?.reason}`;
}

const podsIn = async (client: KubeClient, run: string) =>
  (await client.list(POD, { namespace: 'default', labelSelector: `vicuna.run/training=${run}` })).items;

beforeAll(async () => {
  home = await KubeClient.fromKubeconfig(kubeconfig);
  const westDirectory = join(directory, 'west');
  mkdirSync(westDirectory);
  westPlane = await startControlPlane({ directory: westDirectory });
  west = await KubeClient.fromKubeconfig(westPlane.kubeconfig);
  link = await Link.start(Number(new URL(westPlane.url).port));
  nodes.push(await startKwokNodes({ kubeconfig, directory }, home, { count: 2, gpus: 1, labels: LABELS }));
  nodes.push(await startKwokNodes(westPlane, west, { count: 4, gpus: 1, labels: LABELS }));
  westToken = await makeAccount();
  await setSecret(westKubeconfig());
  // The remote pool is the cheaper one.
  await home.create(GPU_POOL, pool('home', '2'));
  await home.create(GPU_POOL, pool('west', '1', { kubeconfigSecret: WEST }));
  operator = await OperatorProcess.start({ kubeconfig, logFile: join(directory, 'multi-cluster.log'), env: { VICUNA_LOG_LEVEL: 'warn' } });
});

afterAll(async () => {
  operator?.kill();
  await operator?.ended;
  await home?.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
  for (const name of ['home', 'west']) await home?.delete(GPU_POOL, undefined, name).catch(() => undefined);
  await home?.delete(SECRET, 'default', WEST).catch(() => undefined);
  for (const some of nodes) await some.stop();
  link?.close();
  west?.close();
  home?.close();
  await westPlane?.stop();
});

describe('a serving over two clusters', () => {
  it('has replicas in both, all of them known to its gateway, and leaves nothing behind', async () => {
    await until('the remote pool ready', 30_000, async () => (await reachable()) === 'True Connected');
    await home.create(SERVING, {
      metadata: { name: 'both', namespace: 'default' },
      spec: {
        models: [{ name: 'tiny', weights: 's3://models/tiny', engine: 'custom', image: 'engine', gpus: 1 }],
        replicas: { min: 6, max: 6 },
      },
    } as unknown as VicunaServing);
    const inCluster = async (client: KubeClient) =>
      (await client.list(DEPLOYMENT, { namespace: 'default', labelSelector: 'vicuna.run/serving=both,app.kubernetes.io/component=engine' }))
        .items;
    const replicasIn = async (client: KubeClient) => (await inCluster(client)).reduce((sum, d) => sum + (d.spec?.replicas ?? 0), 0);
    await until(
      'four replicas in the west and two at home',
      60_000,
      async () => (await replicasIn(west)) === 4 && (await replicasIn(home)) === 2,
    );
    expect((await inCluster(west))[0]?.metadata?.ownerReferences).toBeUndefined();
    const known = async () => {
      const labelSelector = 'vicuna.run/serving=both,vicuna.run/model=tiny,vicuna.run/cluster';
      const { items } = await home.list(ENDPOINT_SLICE, { namespace: 'default', labelSelector });
      return items.flatMap((slice) => slice.endpoints ?? []).filter((e) => e.conditions?.ready).length;
    };
    await until('the gateway told of the replicas in the west', 60_000, async () => (await known()) === 4);

    // A notice there stops the routing here.
    const [pod] = (await west.list(POD, { namespace: 'default', labelSelector: 'vicuna.run/serving=both' })).items;
    const node = pod?.spec?.nodeName ?? '';
    await west.mergePatch(NODE, undefined, node, {
      spec: { taints: [{ key: 'aws-node-termination-handler/spot-itn', value: 'x', effect: 'NoSchedule' }] },
    });
    await until('one fewer in the gateway’s list', 30_000, async () => (await known()) === 3);
    await west.mergePatch(NODE, undefined, node, { spec: { taints: null } });

    await home.delete(SERVING, 'default', 'both', { propagationPolicy: 'Background' });
    await until('no Deployment left in the west', 30_000, async () => (await inCluster(west)).length === 0);
    await until(
      'no pod left in the west',
      60_000,
      async () => (await west.list(POD, { namespace: 'default', labelSelector: 'vicuna.run/serving=both' })).items.length === 0,
    );
  }, 180_000);
});

describe('a training over two clusters', () => {
  it('starts in the other one, moves home at a notice, and leaves nothing behind', async () => {
    await until('the remote pool ready', 30_000, async () => (await reachable()) === 'True Connected');
    const gang = await FakeGang.start(home, kubeconfig, 'to-and-fro', () => operator.url, {
      client: west,
      kubeconfig: westPlane.kubeconfig,
    });
    await until(`step ${HELD_AT}`, 60_000, async () => {
      await gang.attend();
      return gang.isHeld(await operator.metrics());
    });
    expect((await gang.status())?.pool).toBe('west');
    const there = await podsIn(west, 'to-and-fro');
    expect(there).toHaveLength(2);
    expect(there[0]?.metadata?.ownerReferences).toBeUndefined();
    expect(await podsIn(home, 'to-and-fro')).toHaveLength(0);

    // All of the remote nodes are taken back: there is room at home only.
    const taints = [{ key: 'aws-node-termination-handler/spot-itn', value: 'x', effect: 'NoSchedule' }];
    for (const name of nodes[1]?.names ?? []) await west.mergePatch(NODE, undefined, name, { spec: { taints } });
    await until('moved home and resumed', 60_000, async () => {
      await gang.attend();
      const status = await gang.status();
      return status?.world?.pool === 'home' && (status.interruptions ?? []).every((i) => i.resumedAt !== undefined);
    });
    expect((await gang.status())?.interruptions?.[0]).toMatchObject({
      pool: 'west',
      node: expect.stringMatching(/^west-kubeconfig\//),
      lostSteps: 0,
    });
    await until('no worker left in the west', 30_000, async () => (await podsIn(west, 'to-and-fro')).length === 0);
    for (const name of nodes[1]?.names ?? []) await west.mergePatch(NODE, undefined, name, { spec: { taints: null } });
    gang.release();
    await until('complete', 60_000, async () => (await gang.status())?.phase === 'Complete');
    expect((await gang.status())?.totals).toMatchObject({ lostSteps: 0 });
    await gang.remove();
  }, 180_000);

  it('goes on at home when the other cluster is cut off, without two worlds, and tidies up when it is back', async () => {
    const gang = await FakeGang.start(home, kubeconfig, 'cut-off', () => operator.url, { client: west, kubeconfig: westPlane.kubeconfig });
    await until(`step ${HELD_AT}`, 60_000, async () => {
      await gang.attend();
      return gang.isHeld(await operator.metrics());
    });
    expect((await gang.status())?.pool).toBe('west');
    const before = (await gang.status())?.world;

    // The workers there are cut off with it.
    gang.mute();
    link.cut();
    await until('the condition telling of it', 30_000, async () => (await reachable()) === 'False ConnectionFailed');
    await until('going on at home', 120_000, async () => {
      await gang.attend();
      const status = await gang.status();
      return status?.world?.pool === 'home' && status.interruptions?.at(-1)?.resumedAt !== undefined;
    });
    const status = await gang.status();
    expect(status?.interruptions?.at(-1)).toMatchObject({ cause: 'clusterLost', pool: 'west', notice: false });
    expect(status?.world?.generation).toBeGreaterThan(before?.generation ?? 0);
    // The old workers live on there, and nobody listens to them.
    expect(await podsIn(west, 'cut-off')).toHaveLength(2);
    gang.unmute();
    link.isCut = false;
    await until('reachable again', 60_000, async () => (await reachable()) === 'True Connected');
    await until('the old workers removed', 30_000, async () => (await podsIn(west, 'cut-off')).length === 0);
    expect((await gang.status())?.world?.generation).toBe(status?.world?.generation);
    gang.release();
    await until('complete', 60_000, async () => (await gang.status())?.phase === 'Complete');
    await gang.remove();
  }, 300_000);

  it('has its workers removed there when it is deleted', async () => {
    const gang = await FakeGang.start(home, kubeconfig, 'deleted', () => operator.url, { client: west, kubeconfig: westPlane.kubeconfig });
    await until('workers in the west', 60_000, async () => (await podsIn(west, 'deleted')).length === 2);
    await home.delete(TRAINING, 'default', 'deleted', { propagationPolicy: 'Background' });
    await until('no worker left in the west', 30_000, async () => (await podsIn(west, 'deleted')).length === 0);
    gang.end();
  }, 120_000);

  it('says what is wrong with the way there, and goes on by itself once that is mended', async () => {
    await setSecret('no: [kubeconfig');
    link.cut();
    await until(
      'a bad kubeconfig',
      60_000,
      async () => (await reachable()) === 'False BadKubeconfig' || (await reachable()) === 'False ConnectionFailed',
    );
    await setSecret(westKubeconfig('expired'));
    link.isCut = false;
    await until('refused credentials', 60_000, async () => (await reachable()) === 'False CredentialsRefused');
    await home.delete(SECRET, 'default', WEST);
    await until(
      'a missing Secret',
      60_000,
      async () => (await reachable()) === 'False MissingSecret' || (await reachable()) === 'False CredentialsRefused',
    );
    await setSecret(westKubeconfig());
    await until('reachable again', 60_000, async () => (await reachable()) === 'True Connected');
  }, 240_000);
});
