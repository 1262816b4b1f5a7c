// `npm run bench -- NAME [--json FILE]`: the operator's speed, as figures and as ratios in one run. USAGE says the names.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildOperator } from '../../operator/build.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { benchChaosServing, CHAOS_SETTINGS } from './chaos-serving.ts';
import { benchGateway, GATEWAY_SETTINGS } from './gateway.ts';
import { benchMultiplexing, MULTIPLEXING_SETTINGS } from './multiplexing.ts';
import { benchNotice, NOTICE_SETTINGS } from './notice.ts';
import { benchProtocol, PROTOCOL_SETTINGS } from './protocol-server.ts';
import { SCALE_SETTINGS, ScaleBench, type ScaleSettings } from './scale.ts';

const USAGE = `usage: npm run bench -- NAME [--json FILE] [--minutes N]

  launch     1,000 trainings of 2 pods from first create to all running, against plain Jobs on the same control plane
  recovery   300 trainings of 2 pods, 20 of 300 nodes vanish at once, then 20 others one after the other: from then until the gangs on
             them run again
  notice     from a node's notice to the directive in its gang's workers, over 50 notices
  protocol   the worker protocol: reports per second, and from a world's publication to its members
  gateway    requests per second and added time of the gateway, against the worker alone, a bare pass-through, nginx where it is
             installed, and the routers of VICUNA_BENCH_PEERS, a line NAME=COMMAND each, with {worker} and {port} in it
  chaos-serving
              streams on the embedded cluster for --minutes (default ${CHAOS_SETTINGS.minutes}) while every ${CHAOS_SETTINGS.faultEverySeconds} s a node is taken with notice, killed or
              removed, or the gateway is rolled; then the same without mid-answer continuation
  multiplexing
             requests within their SLO when models share groups of GPUs, against selective replication and one model per GPU,
             simulated over bursty arrivals, and over traces where ../shared/data/arrivals has them
`;

/** What a figure must not exceed; calibrated on two cores shared with other work, see docs/benchmarks.md. */
const LIMITS: Readonly<Record<string, number>> = {
  launchRatioEqualPods: 1.2,
  requestsPerTraining: 6,
  noticeToDirectiveP99: 0.2,
  failed: 0,
  broken: 0,
  different: 0,
  plannerSeconds: 10,
};

async function withScale<T>(
  settings: ScaleSettings,
  work: (bench: ScaleBench, operator: OperatorProcess) => Promise<T>,
  before?: (bench: ScaleBench) => Promise<void>,
): Promise<T> {
  console.log(`${settings.trainings} trainings of ${settings.workers} pods, ${settings.nodes} kwok nodes of ${settings.gpusPerNode} GPUs`);
  const bench = await ScaleBench.start(settings);
  try {
    await before?.(bench);
    // In the chart's pod, whose memory is limited to 512 MiB, V8 chooses this size by itself.
    const env = { VICUNA_LOG_LEVEL: 'warn', NODE_OPTIONS: '--max-old-space-size=256' };
    const operator = await OperatorProcess.start({
      kubeconfig: bench.controlPlane.kubeconfig,
      logFile: join(bench.directory, 'operator.log'),
      env,
      main: await buildOperator(join(bench.directory, 'operator')),
    });
    try {
      return await work(bench, operator);
    } finally {
      await operator.stop();
    }
  } finally {
    await bench.stop();
  }
}

async function launch(): Promise<Record<string, number>> {
  let plainJobs = 0;
  let equalJobs = 0;
  return withScale(
    SCALE_SETTINGS,
    async (bench, operator) => {
      const { seconds, cpuSeconds, peakMemoryMiB, requestsPerTraining } = await bench.launch(operator);
      return {
        plainJobsSeconds: plainJobs,
        jobsWithEqualPodsSeconds: equalJobs,
        launchSeconds: seconds,
        launchRatio: seconds / plainJobs,
        launchRatioEqualPods: seconds / equalJobs,
        operatorCpuSeconds: cpuSeconds,
        operatorPeakMemoryMiB: peakMemoryMiB,
        requestsPerTraining,
      };
    },
    async (bench) => {
      plainJobs = await bench.jobs('smallest');
      equalJobs = await bench.jobs('asTrainings');
    },
  );
}

async function recovery(): Promise<Record<string, number>> {
  return withScale({ ...SCALE_SETTINGS, trainings: 300 }, async (bench, operator) => {
    await bench.launch(operator);
    const { affected, p50, p99 } = await bench.recovery();
    const single = await bench.singleRecoveries();
    return {
      affectedGangs: affected,
      recoveryP50Seconds: p50,
      recoveryP99Seconds: p99,
      singleNodeGangs: single.affected,
      singleNodeP50Seconds: single.p50,
      singleNodeP99Seconds: single.p99,
    };
  });
}

const say = (line: string) => console.log(`  ${line}`);

const BENCHES: Readonly<Record<string, { settings: object; run: (minutes?: number) => Promise<object> }>> = {
  launch: { settings: SCALE_SETTINGS, run: launch },
  recovery: { settings: { ...SCALE_SETTINGS, trainings: 300 }, run: recovery },
  notice: { settings: NOTICE_SETTINGS, run: () => benchNotice(NOTICE_SETTINGS) },
  gateway: { settings: GATEWAY_SETTINGS, run: () => benchGateway(say) },
  'chaos-serving': { settings: CHAOS_SETTINGS, run: (minutes = CHAOS_SETTINGS.minutes) => benchChaosServing(minutes, say) },
  multiplexing: { settings: MULTIPLEXING_SETTINGS, run: async () => benchMultiplexing() },
  protocol: { settings: PROTOCOL_SETTINGS, run: () => benchProtocol(PROTOCOL_SETTINGS) },
};

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'string' }, minutes: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  const [name = ''] = positionals;
  const bench = BENCHES[name];
  if (!bench || values.help) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
  if (minutes !== undefined && !(minutes > 0)) throw new Error(`--minutes ${values.minutes} is no number of minutes`);
  const figures = (await bench.run(minutes)) as Record<string, unknown>;
  // Lists have been printed as tables.
  for (const [figure, value] of Object.entries(figures).filter(([, value]) => !Array.isArray(value)))
    console.log(`  ${figure.padEnd(26)} ${typeof value === 'number' ? Number(value.toFixed(3)) : JSON.stringify(value)}`);
  const machine = { cores: cpus().length, model: cpus()[0]?.model, memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version };
  if (values.json) {
    mkdirSync(dirname(values.json), { recursive: true });
    writeFileSync(
      values.json,
      `${JSON.stringify({ bench: name, figures, settings: bench.settings, machine, at: new Date().toISOString() }, null, 2)}\n`,
    );
  }
  const exceeded = Object.entries(LIMITS).filter(([figure, limit]) => typeof figures[figure] === 'number' && figures[figure] > limit);
  for (const [figure, limit] of exceeded) console.log(`  ${figure} is above its limit of ${limit}`);
  return exceeded.length === 0 ? 0 : 1;
}

process.exit(
  await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  }),
);
