// `npm run demo`: a training that outlives its spot nodes, on a real cluster on this machine.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { Informer } from '../../operator/kube/informer.ts';
import { applyCrds } from '../bench/scale.ts';
import { removeCluster } from '../cluster/cluster.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { missingPrerequisites } from '../cluster/preflight.ts';
import { humanSeconds, StepDisplay } from '../cluster/progress.ts';
import { until } from '../cluster/run.ts';
import type { DemoCluster } from './demo-cluster.ts';
import { CLUSTER, EmbeddedCluster } from './embedded-cluster.ts';
import { ExistingCluster } from './existing-cluster.ts';
import { Interruptions } from './interruptions.ts';
import { runPipeline } from './pipeline-act.ts';
import { type ServingSummary, serveTrained } from './serving-act.ts';
import { createPools, DEVELOPMENT_IMAGE, demoTraining, NAMESPACE, prepareInputs } from './stage.ts';
import { type Summary, summarizeInterruption, summaryText } from './summary.ts';
import { LiveTable } from './table.ts';

const USAGE = `usage: npm run demo -- [--json FILE] [--keep] [--pipeline | --steps N] [--kubeconfig FILE [--image IMAGE]]

  --json FILE        write the summary as JSON
  --keep             leave everything running at the end, to look around with kubectl
  --steps N          optimizer steps of the training (default 340)
  --pipeline         instead of one training that is interrupted: dataset, training, release, serving and evaluation, as one
                     kubectl apply of examples/pipeline starts them. The judge is scripted and runs on this machine
  --kubeconfig FILE  use this cluster instead of an embedded one. Operator and S3 server run on this machine: pods must reach it.
                     Nodes are tainted and workers on them deleted, and the taints taken back; nothing else is touched.
                     It ends with the training: serving it needs images that only the embedded cluster has
  --image IMAGE      the trainer's image there (default ${DEVELOPMENT_IMAGE}: the embedded cluster's, as of \`npm run cluster\`)
`;
const NAME = 'demo-7b';
const INTERVAL = 20;

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    keep: { type: 'boolean', default: false },
    pipeline: { type: 'boolean', default: false },
    steps: { type: 'string', default: '340' },
    kubeconfig: { type: 'string' },
    image: { type: 'string', default: DEVELOPMENT_IMAGE },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const steps = Number(values.steps);
  if (!Number.isInteger(steps) || steps < 50 || steps > 100_000)
    throw new Error(`--steps ${values.steps}: give a whole number from 50 to 100000`);
  if (values.pipeline && values.kubeconfig !== undefined)
    throw new Error(
      '--pipeline needs images that only the embedded cluster has: on a cluster of yours, apply examples/pipeline with your own',
    );
  const missing = values.kubeconfig === undefined ? missingPrerequisites({ nodes: true }) : [];
  if (missing.length > 0) throw new Error(missing.join('\n'));
  const where =
    values.kubeconfig === undefined ? 'a real Kubernetes cluster on this machine, no Docker, no cloud account' : values.kubeconfig;
  console.log(`Vicuna operator demo · ${where}\n`);
  const display = new StepDisplay(process.stdout, ['Tools', 'Cluster', 'Operator', values.pipeline ? 'Inputs' : 'Training']);
  const seconds: Record<string, number> = {};
  let phaseStarted = performance.now();
  const phase = (name: string) => {
    seconds[name] = Number(((performance.now() - phaseStarted) / 1000).toFixed(1));
    phaseStarted = performance.now();
  };

  const cluster = await startCluster(display, phase);
  running.cluster = cluster;
  phase('cluster');
  display.end(cluster.description);

  display.begin('applying CRDs and starting');
  await applyCrds(cluster.client);
  const operator = await OperatorProcess.start({
    kubeconfig: cluster.kubeconfig,
    address: cluster.address,
    logFile: join(cluster.directory, 'operator.log'),
  });
  running.operator = operator;
  await createPools(cluster.client, cluster.pools);
  await until('the operator leading', 60_000, async () =>
    (await operator.metrics()).includes('leader_election_master_status{name="vicuna-operator"} 1'),
  );
  await until('nodes seen in every pool', 60_000, async () =>
    (await cluster.client.list(GPU_POOL)).items.every((p) => p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')),
  );
  phase('operator');
  display.end('leader elected, VicunaTraining and GpuPool served');

  display.begin('putting model and conversations into S3');
  await prepareInputs(cluster.client, cluster.s3);
  if (values.pipeline) {
    display.end('480 conversations, LLaMA of 1 M parameters\n');
    const pipeline = await runPipeline(cluster, (line) => console.log(`  ${new Date().toTimeString().slice(0, 8)}  ${line}`));
    phase('pipeline');
    writeJson({ ...pipeline, seconds: { ...seconds, ...pipeline.seconds } });
    await leave(values.keep);
    return 0;
  }
  const { gpusPerWorker } = cluster;
  await cluster.client.create(
    TRAINING,
    await demoTraining({ name: NAME, steps, interval: `${INTERVAL}steps`, gpusPerWorker, image: values.image }),
  );
  display.end('480 conversations, LLaMA of 1 M parameters, FSDP over 2 workers\n');

  const trainings = new Informer<VicunaTraining>({
    client: await KubeClient.fromKubeconfig(cluster.kubeconfig),
    type: TRAINING,
    namespace: NAMESPACE,
  });
  const table = new LiveTable(process.stdout);
  const interruptions = new Interruptions(cluster, (line) => table.say(line));
  const stop = new AbortController();
  running.stop = stop;
  const end = Promise.withResolvers<VicunaTraining>();
  trainings.onChange(({ object }) => {
    if (object.metadata.name !== NAME) return;
    table.show(object);
    interruptions.onStatus(object);
    const { phase: state } = object.status ?? {};
    if (state === 'Complete' || state === 'Failed') end.resolve(object);
  });
  trainings.start(stop.signal);
  const limit = setTimeout(
    () => end.reject(new Error('the training did not end within 15 minutes: look at it with --keep and kubectl describe vt')),
    15 * 60_000,
  );
  const training = await end.promise.finally(() => clearTimeout(limit));
  interruptions.stop();
  stop.abort();
  phase('training');

  const complete = training.status?.phase === 'Complete';
  table.end();
  let serving: ServingSummary | null = null;
  if (complete && values.kubeconfig === undefined) {
    console.log('\n  Serving the model that was just trained\n');
    const time = () => new Date().toTimeString().slice(0, 8);
    serving = await serveTrained(cluster, `s3://checkpoints/${NAME}/model`, (line) => console.log(`  ${time()}  ${line}`));
    phase('serving');
  }

  const summary: Summary = {
    training: NAME,
    steps: training.status?.progress?.step ?? 0,
    finalLoss: training.status?.progress?.loss ?? null,
    interruptions: (training.status?.interruptions ?? []).map(summarizeInterruption),
    lostSteps: training.status?.totals?.lostSteps ?? 0,
    goodput: training.status?.totals?.goodput ?? null,
    cost: Number(training.status?.totals?.cost ?? 0),
    onDemandCost: Number(training.status?.totals?.onDemandCost ?? 0),
    serving,
    seconds,
  };
  writeJson(summary);
  console.log(`\n${summaryText(summary, INTERVAL)}`);
  if (!complete) console.log(`\n  The training failed: ${training.status?.conditions?.find((c) => c.type === 'Failed')?.message}`);
  const lostWithNotice = summary.interruptions.filter((i) => i.notice && i.lostSteps > 0);
  if (lostWithNotice.length > 0) console.log(`\n  ${lostWithNotice.length} announced interruptions lost steps: that should not be.`);
  await leave(values.keep);
  const lostAnswers = serving !== null && serving.failed + serving.broken + serving.different > 0;
  return !complete || lostAnswers || lostWithNotice.length > 0 ? 1 : 0;
}

function writeJson(summary: object): void {
  if (values.json === undefined) return;
  mkdirSync(dirname(values.json), { recursive: true });
  writeFileSync(values.json, `${JSON.stringify(summary, null, 2)}\n`);
}

/** The embedded cluster, or the one that the user names. */
async function startCluster(display: StepDisplay, phase: (name: string) => void): Promise<DemoCluster> {
  if (values.kubeconfig !== undefined) {
    display.begin('the S3 server');
    display.end('yours; S3 server on this machine');
    phase('tools');
    display.begin('looking at it');
    return ExistingCluster.attach(values.kubeconfig);
  }
  let current = '';
  return EmbeddedCluster.start((name, detail, share, left) => {
    if (name === current) return display.update(detail, share, left);
    if (current === 'tools') {
      phase('tools');
      display.end('Kubernetes 1.36.3, containerd 2.4, PyTorch 2.11 ✓');
    }
    current = name;
    display.begin(detail);
  }, values.pipeline);
}

const running: { cluster?: DemoCluster; operator?: OperatorProcess; stop?: AbortController } = {};

/** Ends everything, or says how to look around. */
async function leave(keep: boolean): Promise<void> {
  const { cluster, operator, stop } = running;
  stop?.abort();
  if (keep && cluster) {
    cluster.keep();
    console.log(
      `\n        Still there: export KUBECONFIG=${cluster.kubeconfig}. The operator has pid ${operator?.pid}. The next demo removes it all.`,
    );
    return;
  }
  await operator?.stop();
  if (cluster) await cluster.stop();
  else if (values.kubeconfig === undefined) await removeCluster(CLUSTER);
  console.log(
    '        Everything it created is gone. Next: examples/, docs/quickstart.md, or `npm run demo -- --keep` to look around with kubectl.',
  );
}

let leaving = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (leaving) return;
    leaving = true;
    console.log('\n  Cleaning up …');
    leave(false).then(
      () => process.exit(130),
      () => process.exit(130),
    );
  });
}

const startedAt = performance.now();
process.exit(
  await main().then(
    (code) => {
      console.log(`        ${humanSeconds((performance.now() - startedAt) / 1000)} in all.`);
      return code;
    },
    async (error: Error) => {
      console.error(`\n${error.message}`);
      await leave(values.keep).catch(() => undefined);
      return 1;
    },
  ),
);
