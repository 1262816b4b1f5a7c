// The notifier as its image runs it, with the rights that its manifest gives it, against a real API server.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KubeClient } from '../../operator/kube/client.ts';
import { loadCredentials } from '../../operator/kube/credentials.ts';
import { NODE, POD } from '../../operator/kube/types.ts';
import { type Interruption, interruptionOfNode } from '../../operator/signals/interruption.ts';
import { slimNode } from '../../operator/slim.ts';
import { buildNotifier, NOTIFIER_FLAGS } from '../../workloads/notifier/build.ts';
import { FakeAws, FakeAzure, FakeGcp } from '../../workloads/notifier/testing/fake-metadata.ts';
import { freePorts } from '../cluster/control-plane.ts';
import { run, until } from '../cluster/run.ts';
import { ensureTools, toolPath } from '../cluster/tools.ts';
import { exampleFile } from './objects.ts';

const NAMESPACE = 'vicuna-notifier';
const NODE_NAME = 'noticed';
const OTHER_NODE = 'bystander';
const kubectl = (...args: string[]) => run(toolPath('kubectl'), args);

let client: KubeClient;
let directory: string;
let main: string;
let server: URL;
let ofNotifier: KubeClient;
const ends: (() => void)[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vicuna-notifier-'));
  main = await buildNotifier(directory);
  client = await KubeClient.fromKubeconfig();
  for (const name of [NODE_NAME, OTHER_NODE]) await client.create(NODE, { metadata: { name } });
  await kubectl('apply', '-f', exampleFile('notifier.yaml'));
  // A pod on the node whose account the process has; no kubelet is needed for that.
  const pod = {
    metadata: { name: 'on-noticed', namespace: NAMESPACE },
    spec: {
      serviceAccountName: NAMESPACE,
      nodeName: NODE_NAME,
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'n', image: 'n' }],
    },
  } as V1Pod;
  await until('the account', 20_000, async () => (await client.create(POD, pod)) !== null);
  const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', 'on-noticed'];
  const token = (await kubectl('create', 'token', NAMESPACE, '-n', NAMESPACE, ...bound)).trim();
  const credentials = await loadCredentials(process.env.KUBECONFIG ?? '');
  server = new URL(credentials.server);
  mkdirSync(join(directory, 'account'));
  writeFileSync(join(directory, 'account', 'token'), token);
  writeFileSync(join(directory, 'account', 'ca.crt'), credentials.ca ?? '');
  ofNotifier = new KubeClient({
    server: credentials.server,
    ca: credentials.ca,
    rejectUnauthorized: true,
    authorization: `Bearer ${token}`,
  });
});

afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await client.mergePatch(NODE, undefined, NODE_NAME, { spec: { taints: null } });
  await client.mergePatch(NODE, undefined, NODE_NAME, { status: { conditions: null } }, { subresource: 'status' });
});

afterAll(async () => {
  await kubectl('delete', '-f', exampleFile('notifier.yaml'), '--wait=false');
  await client.delete(POD, NAMESPACE, 'on-noticed', { gracePeriodSeconds: 0 }).catch(() => undefined);
  for (const name of [NODE_NAME, OTHER_NODE]) await client.delete(NODE, undefined, name);
  ofNotifier.close();
  client.close();
  rmSync(directory, { recursive: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly metrics: () => Promise<string>;
}

async function startNotifier(cloud: string, metadataUrl: string): Promise<Started> {
  const [port = 0] = await freePorts(1);
  const child = spawn(process.execPath, [...NOTIFIER_FLAGS, main], {
    env: {
      NODE_NAME,
      CLOUD: cloud,
      VICUNA_METADATA_URL: metadataUrl,
      VICUNA_ACCOUNT_DIRECTORY: join(directory, 'account'),
      VICUNA_PORT: String(port),
      KUBERNETES_SERVICE_HOST: server.hostname,
      KUBERNETES_SERVICE_PORT: server.port,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk));
  ends.push(() => child.kill('SIGKILL'));
  await until('the notifier', 10_000, async () => output.includes('following the metadata service'));
  return { child, output: () => output, metrics: async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text() };
}

/** What the operator reads of the node, through what its caches keep. That there is no kubelet is no concern here. */
async function seen(): Promise<Interruption | null> {
  const node = slimNode(await client.get(NODE, undefined, NODE_NAME));
  const conditions = node.status?.conditions?.filter((c) => c.type !== 'Ready') ?? [];
  const taints = node.spec?.taints?.filter((t) => !t.key.startsWith('node.kubernetes.io/')) ?? [];
  return interruptionOfNode({ ...node, spec: { taints }, status: { conditions } } as V1Node, Date.now());
}

/** Waits for a sign that fits; resolves to it and the seconds that it took. */
async function sign(fits: (found: Interruption | null) => boolean): Promise<{ found: Interruption | null; seconds: number }> {
  const startedAt = performance.now();
  let found: Interruption | null = null;
  await until('the sign on the node', 25_000, async () => {
    found = await seen();
    return fits(found);
  });
  return { found, seconds: (performance.now() - startedAt) / 1_000 };
}

const isNotice = (found: Interruption | null) => found?.advisory === false;
const httpDate = (ms: number) => new Date(ms).toUTCString();

describe('on AWS', () => {
  it('the interruption notice of amazon-ec2-metadata-mock reaches the operator with its deadline, within 5 s', async () => {
    const tools = await ensureTools(['ec2-metadata-mock']);
    const [port = 0] = await freePorts(1);
    const rfc3339 = (ms: number) => new Date(ms).toISOString().replace(/\.\d+Z/, 'Z');
    const giveNoticeAt = Math.ceil(Date.now() / 1_000) * 1_000 + 12_000;
    const at = rfc3339(giveNoticeAt + 118_000);
    const args = ['spot', '--action', 'terminate', '--time', at, '--mock-trigger-time', rfc3339(giveNoticeAt), '--imdsv2'];
    const mock = spawn(tools['ec2-metadata-mock'], [...args, '--hostname', '127.0.0.1', '--port', String(port)], { stdio: 'ignore' });
    ends.push(() => mock.kill('SIGKILL'));
    const url = `http://127.0.0.1:${port}`;
    await until('the mock', 10_000, async () => (await fetch(`${url}/latest/meta-data`)).status === 401);
    const { output } = await startNotifier('aws', url);
    const { found } = await sign(isNotice);
    const seconds = (Date.now() - giveNoticeAt) / 1_000;
    console.log(`AWS: marked ${seconds.toFixed(2)} s after the notice`);
    expect(found).toMatchObject({ cause: 'spotPreemption', deadline: Date.parse(at) });
    expect(seconds).toBeLessThan(5);
    expect(output()).not.toMatch(/token-|Bearer/);
  });

  it('a rebalance recommendation is advice; a notice comes on top, and its withdrawal leaves the advice', async () => {
    const aws = await new FakeAws().start();
    ends.push(() => aws.close());
    aws.paths.set('events/recommendations/rebalance', JSON.stringify({ noticeTime: new Date().toISOString() }));
    const { child, metrics } = await startNotifier('aws', aws.url);
    expect((await sign((f) => f !== null)).found).toMatchObject({ advisory: true, source: 'vicuna-advice' });
    const time = new Date(Date.now() + 120_000).toISOString();
    aws.paths.set('spot/instance-action', JSON.stringify({ action: 'stop', time }));
    const notice = await sign(isNotice);
    expect(notice.seconds).toBeLessThan(5);
    expect(await metrics()).toContain(`vicuna_notifier_deadline_timestamp_seconds ${Math.floor(Date.parse(time) / 1_000)}`);
    aws.paths.delete('spot/instance-action');
    expect((await sign((f) => f?.advisory === true)).found?.source).toBe('vicuna-advice');
    expect((await client.get(NODE, undefined, NODE_NAME)).spec?.taints?.map((t) => t.key) ?? []).not.toContain('vicuna.run/interruption');
    const peak = (Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024) / 1e6;
    console.log(`peak resident memory ${peak.toFixed(1)} MB`);
    expect(peak).toBeLessThan(60);
  });
});

describe('on Google', () => {
  it('a preemption is marked at once, by the request that waits', async () => {
    const gcp = await new FakeGcp().start();
    ends.push(() => gcp.close());
    await startNotifier('gcp', gcp.url);
    await until('both requests waiting', 5_000, async () => gcp.waiting === 2);
    const before = Date.now();
    gcp.set('preempted', 'TRUE');
    const { found, seconds } = await sign(isNotice);
    console.log(`Google: marked ${seconds.toFixed(2)} s after the notice`);
    expect(seconds).toBeLessThan(1);
    expect(found?.cause).toBe('spotPreemption');
    expect(Math.abs((found?.deadline ?? 0) - before - 15_000)).toBeLessThan(2_000);
  });
});

describe('on Azure', () => {
  it('a Preempt event of this machine is marked within 2 s, and acknowledged only when the node’s annotation says so', async () => {
    const azure = await new FakeAzure().start();
    ends.push(() => azure.close());
    await startNotifier('azure', azure.url);
    const notBefore = Math.ceil(Date.now() / 1_000) * 1_000 + 45_000;
    const event = { EventId: 'E-1', EventStatus: 'Scheduled', EventType: 'Preempt', ResourceType: 'VirtualMachine' } as const;
    azure.events = [
      { ...event, EventId: 'E-0', Resources: ['aks-gpu_8'], NotBefore: httpDate(notBefore - 20_000) },
      { ...event, Resources: [azure.name], NotBefore: httpDate(notBefore) },
    ];
    const { found, seconds } = await sign(isNotice);
    expect(found).toMatchObject({ cause: 'spotPreemption', deadline: notBefore });
    expect(seconds).toBeLessThan(2);
    expect(azure.started).toEqual([]);
    await client.mergePatch(NODE, undefined, NODE_NAME, { metadata: { annotations: { 'vicuna.run/acknowledge-event': 'E-1' } } });
    await until('the acknowledgement', 15_000, async () => azure.started.length > 0);
    expect(azure.started).toEqual(['E-1']);
  });
});

describe('elsewhere', () => {
  it('it idles and says so', async () => {
    const idle = spawn(process.execPath, [...NOTIFIER_FLAGS, main], {
      env: {
        NODE_NAME,
        CLOUD: 'none',
        VICUNA_ACCOUNT_DIRECTORY: join(directory, 'account'),
        VICUNA_PORT: '0',
        KUBERNETES_SERVICE_HOST: server.hostname,
        KUBERNETES_SERVICE_PORT: server.port,
      },
    });
    ends.push(() => idle.kill('SIGKILL'));
    let output = '';
    idle.stdout.on('data', (chunk: Buffer) => (output += chunk));
    await until('its word', 10_000, async () => output.includes('belongs to no cloud that is known'));
    const ended = new Promise((resolve) => idle.once('exit', resolve));
    idle.kill('SIGTERM');
    expect(await ended).toBe(0);
  });
});

describe('its rights', () => {
  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['another node', () => taint(OTHER_NODE, 'vicuna.run/interruption'), /only the node that it runs on/],
    ['another taint', () => taint(NODE_NAME, 'example.com/mine'), /only the taint vicuna.run\/interruption/],
    ['labels', () => ofNotifier.mergePatch(NODE, undefined, NODE_NAME, { metadata: { labels: { a: 'b' } } }), /may not change labels/],
    ['a cordon', () => ofNotifier.mergePatch(NODE, undefined, NODE_NAME, { spec: { unschedulable: true } }), /nor cordon/],
    ['pods', () => ofNotifier.list(POD), /cannot list resource "pods"/],
    ['all nodes', () => ofNotifier.list(NODE), /cannot list resource "nodes"/],
  ])('do not reach %s', async (_, act, words) => {
    await expect.poll(() => act().then(String, (error: Error) => error.message), { timeout: 20_000 }).toMatch(words);
  });
});

function taint(node: string, key: string): Promise<unknown> {
  return ofNotifier.mergePatch(NODE, undefined, node, { spec: { taints: [{ key, effect: 'NoSchedule' }] } });
}
