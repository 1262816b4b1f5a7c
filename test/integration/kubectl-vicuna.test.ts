// The plugin as kubectl finds it on the PATH, against a real API server.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { type Credentials, loadCredentials } from '../../operator/kube/credentials.ts';
import { EVENT, NODE } from '../../operator/kube/types.ts';
import { interruptionOfNode } from '../../operator/signals/interruption.ts';
import { kubectlVicuna } from '../../workloads/kubectl-vicuna/cli.ts';
import { Session } from '../../workloads/kubectl-vicuna/session.ts';
import type { KwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { ROOT } from '../cluster/paths.ts';
import { until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { FakeGang, HELD_AT, startFakePool } from './fake-gang.ts';
import { dataset, evaluation, exampleFile, gpuPool, serving, training } from './objects.ts';

const PLUGIN = join(ROOT, 'workloads', 'kubectl-vicuna');
let client: KubeClient;
let credentials: Credentials;

beforeAll(async () => {
  credentials = await loadCredentials(null);
  client = new KubeClient(credentials);
  const made = await client.create(TRAINING, training('plugged'));
  const status = {
    phase: 'Running',
    pool: 'plugged-pool',
    progress: { step: 12, totalSteps: 600, display: '12/600', epoch: 0.1, lossDisplay: '5.91', updatedAt: new Date().toISOString() },
    totals: { interruptions: 1, cost: '0.021', onDemandCost: '0.063', savedPercent: '67%', gpuHours: 0.5 },
  };
  await client.replaceStatus(TRAINING, { ...made, status: status as typeof made.status & object });
  await client.create(SERVING, serving('plugged-chat'));
  await makeTasks();
  await client.create(GPU_POOL, gpuPool('plugged-pool'));
  await client.create(NODE, { metadata: { name: 'plugged-node' } });
});

afterAll(async () => {
  await client.delete(TRAINING, 'default', 'plugged');
  await client.delete(SERVING, 'default', 'plugged-chat');
  await client.delete(DATASET, 'default', 'plugged-data');
  await client.delete(EVALUATION, 'default', 'plugged-verdict');
  await client.delete(GPU_POOL, undefined, 'plugged-pool');
  await client.delete(NODE, undefined, 'plugged-node');
  client.close();
});

/** A dataset that works, what was said of it and of an earlier one of its name, and an evaluation that waits. */
async function makeTasks(): Promise<void> {
  const now = new Date().toISOString();
  const data = await client.create(DATASET, dataset('plugged-data'));
  const working = {
    phase: 'Running' as const,
    attempt: 1,
    pod: 'plugged-data-dataset-1',
    progress: { stage: 'split', done: 12, total: 70, unit: 'conversations', display: '12/70', eta: '40s', updatedAt: now },
    totals: { interruptions: 0, cost: '0.04', onDemandCost: '0.12', savedPercent: '67%' },
  };
  await client.replaceStatus(DATASET, { ...data, status: working });
  const about = { apiVersion: 'vicuna.run/v1alpha1', kind: 'VicunaDataset', namespace: 'default', name: 'plugged-data' };
  for (const [i, uid] of [data.metadata.uid, 'of-an-earlier-one'].entries())
    await client.create(EVENT, {
      metadata: { name: `plugged-data.${i}`, namespace: 'default' },
      involvedObject: { ...about, uid },
      type: 'Warning',
      reason: 'Interrupted',
      message: `node ${i} goes`,
      lastTimestamp: now,
    } as never);
  const verdict = await client.create(EVALUATION, evaluation('plugged-verdict'));
  const message = 'spec.candidate.serving: VicunaServing "chat" is not ready: 0 of 2 replicas';
  const placed = { type: 'Placed', status: 'False' as const, reason: 'ServingNotReady', message };
  const conditions = [{ ...placed, lastTransitionTime: now, observedGeneration: 1 }];
  await client.replaceStatus(EVALUATION, { ...verdict, status: { phase: 'Pending', conditions } });
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function kubectl(...args: string[]): Promise<Ended> {
  const path = [PLUGIN, dirname(toolPath('kubectl')), process.env.PATH].join(delimiter);
  const child = spawn(toolPath('kubectl'), args, { env: { ...process.env, PATH: path }, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (text.out += chunk));
  child.stderr.on('data', (chunk: Buffer) => (text.err += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...text }));
  });
}

/** The same without a process, on this one's connection. */
async function vicuna(...args: string[]): Promise<Ended> {
  const text = { out: '', err: '' };
  const screen = (to: 'out' | 'err') => ({
    isTTY: false,
    columns: Number.POSITIVE_INFINITY,
    rows: 24,
    write: (more: string) => {
      text[to] += more;
    },
  });
  const code = await kubectlVicuna(args, {
    out: screen('out'),
    err: screen('err'),
    env: {},
    now: Date.now,
    signal: new AbortController().signal,
    ask: null,
    open: async ({ namespace, allNamespaces }) => new Session(new KubeClient(credentials), namespace ?? 'default', allNamespaces),
  });
  return { code, ...text };
}

describe('kubectl vicuna', () => {
  it('is found by kubectl, and top prints once where there is no terminal', async () => {
    const { code, out } = await kubectl('vicuna', 'top', '-n', 'default');
    expect(out).toMatch(/^RUN +PHASE[^\n]*\n(.*\n)*plugged +Running +plugged-pool +12\/600 +5\.91 .* \$0\.021 +67%$/m);
    expect(out).toMatch(/^plugged-chat +0\/0/m);
    expect(out).toMatch(/^plugged-data +Running +- +split +12\/70 conversations +40s +- +- +0 +\$0\.040 +67%$/m);
    expect(out).toMatch(/^plugged-verdict +Pending +/m);
    expect(out).toMatch(/^plugged-pool +\w/m);
    expect(out).not.toContain('\u001b');
    expect(code).toBe(0);
    expect((await vicuna('top', '-A')).out).toMatch(/^default +plugged +Running/m);
    expect((await vicuna('top', '-n', 'kube-system')).out).not.toMatch(/^plugged +/m);
  });

  it('explain, checkpoint and cost read what is there', async () => {
    expect((await vicuna('explain', 'vt/plugged')).out).toContain('VicunaTraining default/plugged: Running, step 12/600 (2%)');
    expect((await vicuna('explain', 'vs', 'plugged-chat')).out).toContain('VicunaServing default/plugged-chat');
    expect((await vicuna('explain', 'gp/plugged-pool')).out).toContain('GpuPool plugged-pool');
    const data = (await vicuna('explain', 'dataset/plugged-data')).out;
    expect(data).toContain('VicunaDataset default/plugged-data: Running, attempt 1, split: 12/70 conversations (17%), about 40s left of');
    expect(data).toMatch(/Events\n {2}\S+ Interrupted: node 0 goes\n$/);
    expect((await vicuna('explain', 've', 'plugged-verdict')).out).toContain(
      'What it waits for\n  spec.candidate.serving: VicunaServing "chat" is not ready: 0 of 2 replicas',
    );
    expect((await vicuna('checkpoint', 'plugged')).out).toContain('has no committed checkpoint yet (step 12;');
    const report = JSON.parse((await vicuna('cost', '-o', 'json')).out);
    expect(report.items).toContainEqual(expect.objectContaining({ name: 'plugged', spent: '0.021', onDemand: '0.063', saved: '0.042' }));
    expect(report.items).toContainEqual(expect.objectContaining({ name: 'plugged-data', spent: '0.04', onDemand: '0.12', saved: '0.08' }));
  });

  it.each<[string, string[], number, RegExp]>([
    ['what does not exist', ['explain', 'vt/none'], 1, /^Error: there is no VicunaTraining "none" in namespace default\n$/],
    ['pods that are gone', ['logs', 'plugged'], 1, /^Error: training "plugged" \(Running\) has no such pods now/],
    ['pods of a dataset that are gone', ['logs', 'vd/plugged-data'], 1, /^Error: dataset "plugged-data" \(Running\) has no such pods now/],
    ['what has no logs here', ['logs', 'vs/plugged-chat'], 2, /"vs\/plugged-chat" is a serving: see kubectl logs -l/],
    ['an unknown flag', ['top', '--loud'], 2, /^Error: Unknown option '--loud'/],
    ['an unknown command', ['fly'], 2, /^Error: there is no command "fly"/],
    ['a missing name', ['logs'], 2, /^Error: name of a training, dataset or evaluation is missing/],
    ['too many names', ['logs', 'a', 'b'], 2, /only one name of a training/],
    ['a wrong number', ['logs', 'plugged', '--rank', 'x'], 2, /--rank "x" must be a whole number/],
    ['an interruption that is none', ['interrupt', 'plugged'], 2, /say --simulate/],
    ['a save that cannot be', ['checkpoint', 'plugged', '--now', '--timeout', '1'], 1, /no checkpoint after step 0 within 1 s/],
  ])('says so in a sentence: %s', async (_, args, expected, words) => {
    const { code, out, err } = await vicuna(...args);
    expect(`${err.split('\n').find((line) => line.startsWith('Error'))}\n`).toMatch(words);
    expect(out).toBe('');
    expect(code).toBe(expected);
  });

  it('plan asks the API server whether the manifest is good, and the operator’s function where it would run', async () => {
    const planned = await vicuna('plan', '-f', exampleFile('training.yaml'));
    expect(planned.out).toMatch(/^VicunaTraining default\/\S+\n {2}It would (start now|wait)/);
    expect(planned.code).toBe(planned.out.includes('It would start now') ? 0 : 1);
    const names = (await client.list(TRAINING, { namespace: 'default' })).items.map((t) => t.metadata.name);
    expect(names).not.toContain(parse(readFileSync(exampleFile('training.yaml'), 'utf8')).metadata.name);
    const bad = join(process.env.VICUNA_TEST_DIRECTORY ?? '', 'bad-training.yaml');
    writeFileSync(bad, JSON.stringify(training('bad', { 'spec.workers.min': 4, 'spec.workers.max': 2 })));
    const refused = await vicuna('plan', '-f', bad);
    expect(refused.err).toMatch(/^Error: .*min \(4\) is larger than max \(2\)/);
    expect(refused.code).toBe(1);
  });

  it('interrupt asks for --yes, marks the node as the notifier would, and takes it back', async () => {
    const node = () => client.get(NODE, undefined, 'plugged-node');
    // There is no kubelet: without its word the node would soon count as lost.
    const lastHeartbeatTime = new Date().toISOString();
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'KubeletReady',
      message: '',
      lastHeartbeatTime,
      lastTransitionTime: lastHeartbeatTime,
    };
    await client.mergePatch(NODE, undefined, 'plugged-node', { status: { conditions: [ready] } }, { subresource: 'status' });
    const refused = await vicuna('interrupt', '--simulate', 'plugged-node');
    expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('say --yes to do it') });
    expect((await node()).spec?.taints?.map((t) => t.key) ?? []).not.toContain('vicuna.run/interruption');

    const before = Date.now();
    expect(await vicuna('interrupt', '--simulate', 'node/plugged-node', '--notice', '2m', '--yes')).toMatchObject({ code: 0 });
    const taints = (await node()).spec?.taints?.filter((t) => t.key.startsWith('vicuna.run/')) ?? [];
    const found = interruptionOfNode({ metadata: { name: 'n' }, spec: { taints } }, Date.now());
    expect(found).toMatchObject({ source: 'vicuna-notifier', advisory: false });
    expect(Math.abs((found?.deadline ?? 0) - before - 120_000)).toBeLessThan(5_000);
    expect((await vicuna('interrupt', '--simulate', 'plugged-node', '--yes')).err).toContain('is being interrupted already');

    expect((await vicuna('interrupt', '--undo', 'plugged-node')).out).toContain('is taken back');
    expect((await node()).spec?.taints?.map((t) => t.key) ?? []).not.toContain('vicuna.run/interruption');
    expect((await vicuna('interrupt', '--undo', 'plugged-node')).out).toContain('has no simulated interruption');
  });

  it('refuses a context that the kubeconfig lacks, as a process does', async () => {
    const { code, err } = await kubectl('vicuna', 'top', '--context', 'mars');
    expect(err).toMatch(/^Error: .* there is no context "mars" in it$/m);
    expect(code).toBe(1);
  });

  it('is completed by kubectl', async () => {
    expect((await kubectl('__complete', 'vicuna', 'explain', 'vt/plu')).out).toMatch(/^vt\/plugged\n:4/m);
    expect((await kubectl('__complete', 'vicuna', 'explain', 'dataset/plu')).out).toMatch(/^dataset\/plugged-data\n:4/m);
    expect((await vicuna('__complete', 'ex')).out).toContain('explain\t');
    expect((await vicuna('__complete', 'logs', '')).out).toMatch(/^plugged$/m);
    expect((await vicuna('__complete', 'logs', 've/')).out).toMatch(/^ve\/plugged-verdict$/m);
    for (const shell of ['bash', 'zsh', 'fish']) expect((await vicuna('completion', shell)).out).toContain('kubectl-vicuna __complete');
  });
});

describe('with an operator and a training that runs', () => {
  let nodes: KwokNodes;
  let operator: OperatorProcess;
  let gang: FakeGang;
  beforeAll(async () => {
    const kubeconfig = process.env.KUBECONFIG ?? '';
    const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
    nodes = await startFakePool({ kubeconfig, directory }, client, 'watched');
    operator = await OperatorProcess.start({
      kubeconfig,
      logFile: join(directory, 'plugin-operator.log'),
      env: { VICUNA_LOG_LEVEL: 'warn' },
    });
    gang = await FakeGang.start(client, kubeconfig, 'watched', () => operator.url);
    await until(`the training at step ${HELD_AT}`, 60_000, async () => {
      await gang.attend();
      return gang.isHeld(await operator.metrics());
    });
  });
  afterAll(async () => {
    await gang?.remove();
    await operator?.stop();
    await nodes?.stop();
    await client.delete(GPU_POOL, undefined, 'watched');
  });

  it('checkpoint --now saves, and waits until it is committed', async () => {
    const { code, out } = await vicuna('checkpoint', 'watched', '--now', '--timeout', '30');
    expect(out).toMatch(new RegExp(`^Step ${HELD_AT} is saved at s3://checkpoints/watched/step-`));
    expect(code).toBe(0);
    expect((await vicuna('checkpoint', 'watched')).out).toMatch(new RegExp(`^${HELD_AT} `, 'm'));
  });

  it('interrupt moves it off the node, and explain tells how that went', async () => {
    const { out } = await vicuna('interrupt', '--simulate', 'vt/watched', '--rank', '1', '--notice', '1m', '--yes');
    const [, node = ''] = /^node\/(\S+) goes at .* these move: training watched in default/.exec(out) ?? [];
    expect(node).not.toBe('');
    await until('the training moved and resumed', 60_000, async () => {
      await gang.attend();
      return gang.hasMoved();
    });
    expect((await vicuna('explain', 'vt/watched')).out).toMatch(
      new RegExp(`node ${node} of watched: spotPreemption, \\S+ s of notice\n.* resumed at step ${HELD_AT}, 0 steps lost`),
    );
    expect((await vicuna('interrupt', '--undo', `node/${node}`)).code).toBe(0);
  });
});
