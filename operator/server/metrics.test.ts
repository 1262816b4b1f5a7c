import { describe, expect, it } from 'vitest';
import { OperatorMetrics, type TrainingFigures } from './metrics.ts';
import { METRICS, type MetricDefinition, metricsReference } from './metrics-table.ts';
import { checkpoint, report, TRAINING } from './test-support.ts';

const FIGURES: TrainingFigures = {
  phase: 'Running',
  pool: 'aws-spot',
  capacity: 'spot',
  generation: 3,
  worldSize: 2,
  progress: { step: 30, totalSteps: 100 },
  checkpoint: { step: 20, bytes: 500, seconds: 3, savedAt: Date.parse('2026-11-23T12:00:00Z') },
  goodput: 0.97,
  gpuHours: 12,
  cost: 118.4,
  onDemandCost: 300,
  interruptions: 2,
  lostSteps: 0,
};

function setUp() {
  const clock = { now: Date.parse('2026-11-23T12:01:40Z') };
  const metrics = new OperatorMetrics({ now: () => clock.now });
  /** The series of a metric as "labels value" lines. */
  const series = async (name: string) => {
    const text = await metrics.registry.metrics();
    return text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  };
  return { clock, metrics, series };
}

describe('metrics of a training', () => {
  it('follow the reports of rank 0 at once', async () => {
    const { metrics, series } = setUp();
    metrics.reported(TRAINING, report({ step: 42, loss: 1.25, validation: { step: 40, loss: 1.5 }, checkpoint: checkpoint(40) }));
    metrics.reported(TRAINING, report({ rank: 1, step: 7 }));
    const labels = '{namespace="team-a",training="vicuna-13b"}';
    expect(await series('vicuna_training_step')).toEqual([`vicuna_training_step${labels} 42`]);
    expect(await series('vicuna_training_loss')).toEqual([`vicuna_training_loss${labels} 1.25`]);
    expect(await series('vicuna_training_validation_loss')).toEqual([`vicuna_training_validation_loss${labels} 1.5`]);
    expect(await series('vicuna_training_tokens_per_second')).toEqual([`vicuna_training_tokens_per_second${labels} 1000`]);
    expect(await series('vicuna_training_checkpoint_bytes')).toEqual([`vicuna_training_checkpoint_bytes${labels} 1000000`]);
  });

  it('show a worker that no longer runs as doing no tokens', async () => {
    const { metrics, series } = setUp();
    metrics.reported(TRAINING, report());
    metrics.reported(TRAINING, report({ state: 'stopped' }));
    expect(await series('vicuna_training_tokens_per_second')).toEqual([expect.stringMatching(/ 0$/)]);
  });

  it('age a checkpoint from scrape to scrape', async () => {
    const { metrics, series, clock } = setUp();
    metrics.reported(TRAINING, report({ checkpoint: checkpoint(10) }));
    expect(await series('vicuna_training_checkpoint_age_seconds')).toEqual([expect.stringMatching(/ 100$/)]);
    clock.now += 5_000;
    expect(await series('vicuna_training_checkpoint_age_seconds')).toEqual([expect.stringMatching(/ 105$/)]);
  });

  it('are those of status until a worker reports, and never fall behind a report', async () => {
    const { metrics, series } = setUp();
    const steps = async () =>
      [...(await series('vicuna_training_step')), ...(await series('vicuna_training_checkpoint_step'))].map((line) => line.split(' ')[1]);
    metrics.setTraining(TRAINING, FIGURES);
    expect(await steps()).toEqual(['30', '20']);
    expect(await series('vicuna_training_checkpoint_age_seconds')).toEqual([expect.stringMatching(/ 100$/)]);
    metrics.setTraining(TRAINING, { ...FIGURES, progress: { step: 31, totalSteps: 100 } });
    expect(await steps()).toEqual(['31', '20']);
    metrics.reported(TRAINING, report({ step: 42, checkpoint: checkpoint(40) }));
    metrics.setTraining(TRAINING, FIGURES);
    expect(await steps()).toEqual(['42', '40']);
  });

  it('show one phase and one pool at a time', async () => {
    const { metrics, series } = setUp();
    metrics.setTraining(TRAINING, FIGURES);
    metrics.setTraining(TRAINING, { ...FIGURES, phase: 'Waiting', pool: null, capacity: null });
    expect(await series('vicuna_training_phase')).toEqual([
      'vicuna_training_phase{namespace="team-a",training="vicuna-13b",phase="Waiting"} 1',
    ]);
    expect(await series('vicuna_training_info')).toEqual([
      'vicuna_training_info{namespace="team-a",training="vicuna-13b",pool="",capacity=""} 1',
    ]);
  });

  it('count money as status does: on from a restart, and afresh with a new object', async () => {
    const { metrics, series } = setUp();
    const cost = async () => (await series('vicuna_training_cost_dollars_total'))[0]?.split(' ').at(-1);
    metrics.setTraining(TRAINING, { ...FIGURES, cost: 100 });
    metrics.setTraining(TRAINING, { ...FIGURES, cost: 100 });
    expect(await cost()).toBe('100');
    metrics.setTraining(TRAINING, { ...FIGURES, cost: 118.5 });
    expect(await cost()).toBe('118.5');
    metrics.setTraining(TRAINING, { ...FIGURES, cost: 0.25 });
    expect(await cost()).toBe('0.25');
  });

  it('vanish with it, and only with it', async () => {
    const { metrics } = setUp();
    for (const training of [TRAINING, 'team-a/other']) {
      metrics.setTraining(training, FIGURES);
      metrics.reported(training, report({ checkpoint: checkpoint(10) }));
      metrics.setTraining(training, { ...FIGURES, phase: 'Complete' });
    }
    await metrics.registry.metrics(); // ages are series only once they have been scraped
    metrics.forgetTraining(TRAINING);
    const text = await metrics.registry.metrics();
    expect(text).not.toContain('vicuna-13b');
    expect(text.match(/training="other"/g)?.length).toBeGreaterThan(15);
    metrics.forgetTraining(TRAINING);
  });

  it('hold no trace of trainings that came and went', async () => {
    const { metrics } = setUp();
    const empty = (await metrics.registry.metrics()).length;
    for (let index = 0; index < 1_000; index++) {
      metrics.setTraining(`team-a/run-${index}`, FIGURES);
      metrics.reported(`team-a/run-${index}`, report({ checkpoint: checkpoint(10) }));
      metrics.forgetTraining(`team-a/run-${index}`);
    }
    expect((await metrics.registry.metrics()).length).toBe(empty);
  });
});

describe('metrics of a pool', () => {
  const figures = {
    nodes: 4,
    spotNodes: ['n1', 'n2'],
    gpusUsed: 24,
    gpusFree: 8,
    pricePerHour: 12.5,
    livePrice: null,
    blocked: true,
    remainingLifeSeconds: 3_600,
    interruptions: 7,
    placed: 5,
    noCapacity: 2,
  };

  it('follow its status and vanish with it', async () => {
    const { metrics, series } = setUp();
    metrics.setPool('aws-spot', figures);
    expect(await series('vicuna_pool_gpus')).toEqual([
      'vicuna_pool_gpus{pool="aws-spot",state="used"} 24',
      'vicuna_pool_gpus{pool="aws-spot",state="free"} 8',
    ]);
    expect(await series('vicuna_pool_launches_total')).toContain('vicuna_pool_launches_total{pool="aws-spot",result="noCapacity"} 2');
    metrics.setPool('aws-spot', { ...figures, remainingLifeSeconds: null });
    expect(await series('vicuna_pool_remaining_life_seconds')).toEqual([]);
    metrics.forgetPool('aws-spot');
    expect(await metrics.registry.metrics()).not.toContain('aws-spot');
  });

  it('name the spot nodes that there are, and forget those that have gone', async () => {
    const { metrics, series } = setUp();
    metrics.setPool('aws-spot', figures);
    metrics.setPool('aws-spot', { ...figures, spotNodes: ['n2', 'n3'] });
    const one = (node: string) => `vicuna_pool_spot_node_info{pool="aws-spot",node="${node}"} 1`;
    expect(await series('vicuna_pool_spot_node_info')).toEqual([one('n2'), one('n3')]);
  });

  it('tell when prices were read and how often they should be, only where they are read at all', async () => {
    const { metrics, series } = setUp();
    const [readAt, refresh] = ['vicuna_pool_price_read_timestamp_seconds', 'vicuna_pool_price_refresh_seconds'] as const;
    metrics.setPool('aws-spot', { ...figures, livePrice: { readAt: null, refreshSeconds: 900 } });
    expect(await series(readAt)).toEqual([`${readAt}{pool="aws-spot"} 0`]);
    metrics.setPool('aws-spot', { ...figures, livePrice: { readAt: 1_767_225_600_000, refreshSeconds: 900 } });
    expect(await series(readAt)).toEqual([`${readAt}{pool="aws-spot"} 1767225600`]);
    expect(await series(refresh)).toEqual([`${refresh}{pool="aws-spot"} 900`]);
    metrics.setPool('aws-spot', figures);
    expect([...(await series(readAt)), ...(await series(refresh))]).toEqual([]);
  });
});

describe('metrics of a task', () => {
  const figures = {
    phase: 'Running',
    missing: null,
    progress: { done: 3, total: 10 },
    interruptions: 1,
    errors: 2,
    cost: 0.5,
    onDemandCost: 1.5,
    results: [],
  };

  it('follow its status, apart from another kind’s of the same name, and vanish with it', async () => {
    const { metrics, series } = setUp();
    metrics.setTask('VicunaDataset', 'team-a/chats', figures);
    metrics.setTask('VicunaEvaluation', 'team-a/chats', { ...figures, phase: 'Complete', progress: null });
    expect(await series('vicuna_task_units')).toContain('vicuna_task_units{namespace="team-a",kind="VicunaDataset",name="chats"} 10');
    expect(await series('vicuna_task_cost_dollars_total')).toHaveLength(2);
    metrics.setTask('VicunaDataset', 'team-a/chats', { ...figures, phase: 'Complete', progress: { done: 4, total: null } });
    expect(await series('vicuna_task_units')).toEqual([]);
    expect((await series('vicuna_task_phase')).filter((line) => line.includes('VicunaDataset'))).toHaveLength(1);
    metrics.forgetTask('VicunaDataset', 'team-a/chats');
    expect(await metrics.registry.metrics()).not.toContain('VicunaDataset"');
    expect(await series('vicuna_task_phase')).toHaveLength(1);
  });

  it('say what it waits for while that is missing, one thing at a time', async () => {
    const { metrics, series } = setUp();
    const pending = { ...figures, phase: 'Pending', progress: null };
    metrics.setTask('VicunaEvaluation', 'team-a/blog', { ...pending, missing: 'MissingSecret' });
    metrics.setTask('VicunaEvaluation', 'team-a/blog', { ...pending, missing: 'ServingNotReady' });
    expect(await series('vicuna_task_pending')).toEqual([
      'vicuna_task_pending{namespace="team-a",kind="VicunaEvaluation",name="blog",reason="ServingNotReady"} 1',
    ]);
    metrics.setTask('VicunaEvaluation', 'team-a/blog', figures);
    expect(await series('vicuna_task_pending')).toEqual([]);
  });

  it('have the figures of its result, and of no other', async () => {
    const { metrics, series } = setUp();
    const against = (baseline: string) => ({ metric: 'evaluationWinRate', labels: { baseline }, value: 0.35 }) as const;
    metrics.setTask('VicunaEvaluation', 'team-a/blog', { ...figures, results: [against('chatgpt'), against('alpaca')] });
    metrics.setTask('VicunaEvaluation', 'team-a/blog', { ...figures, results: [against('alpaca')] });
    expect(await series('vicuna_evaluation_win_rate')).toEqual([
      'vicuna_evaluation_win_rate{namespace="team-a",kind="VicunaEvaluation",name="blog",baseline="alpaca"} 0.35',
    ]);
    metrics.forgetTask('VicunaEvaluation', 'team-a/blog');
    expect(await series('vicuna_evaluation_win_rate')).toEqual([]);
  });
});

describe('metrics of interruptions', () => {
  it('time the legs that happened', async () => {
    const { metrics, series } = setUp();
    metrics.interrupted({ cause: 'spot', notice: true, lostSteps: 3, legSeconds: { notice_to_directive: 0.04, total: 21 } });
    expect(await series('vicuna_interruptions_total')).toEqual(['vicuna_interruptions_total{cause="spot",notice="true"} 1']);
    expect(await series('vicuna_lost_steps_total')).toEqual(['vicuna_lost_steps_total 3']);
    expect(await series('vicuna_interruption_leg_seconds_count')).toEqual([
      'vicuna_interruption_leg_seconds_count{leg="notice_to_directive"} 1',
      'vicuna_interruption_leg_seconds_count{leg="total"} 1',
    ]);
  });
});

describe('the table of metrics', () => {
  const definitions: MetricDefinition[] = Object.values(METRICS);

  it('follows the conventions of Prometheus', () => {
    for (const { name, type, labels, help } of definitions) {
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(help, name).toMatch(/^\S.*\.$/);
      expect(new Set(labels).size, name).toBe(labels.length);
    }
    expect(new Set(definitions.map(({ name }) => name)).size).toBe(definitions.length);
  });

  it('is the reference page', () => {
    const lines = metricsReference([], []).split('\n');
    for (const { name, type, help } of definitions)
      expect(
        lines.filter((line) => line.startsWith(`| \`${name}\` | ${type} |`) && line.endsWith(`| ${help} |`)),
        name,
      ).toHaveLength(1);
  });

  it('follows queues and dropped events at every scrape', async () => {
    const metrics = new OperatorMetrics({ now: () => 0 });
    metrics.watchQueue('q', { depth: 3, unfinished: 2, unfinishedSeconds: 5, longestRunningSeconds: 4 });
    const recorder = { dropped: 1 };
    metrics.watchEvents(recorder);
    const text = await metrics.registry.metrics();
    expect(text).toContain('workqueue_depth{name="q"} 3');
    expect(text).toContain('workqueue_unfinished_work_seconds{name="q"} 5');
    expect(text).toContain('workqueue_longest_running_processor_seconds{name="q"} 4');
    expect(text).toContain('vicuna_events_dropped_total 1');
    recorder.dropped = 4;
    expect(await metrics.registry.metrics()).toContain('vicuna_events_dropped_total 4');
    expect(await metrics.registry.metrics()).toContain('controller_runtime_active_workers{controller="q"} 2');
  });
});

describe('metrics of a serving', () => {
  const figures = {
    models: [{ name: 'chat', desired: 2, target: 3, ready: 2, spotReady: 1, onDemandReady: 1, pools: { aws: 2, gcp: 1 } }],
    scalingLimit: 'WithinLimits',
    gatewaysReady: 2,
    metricsAvailable: null,
    interruptions: 0,
    cost: 1,
    onDemandCost: 3,
    gpuHours: 1,
  };

  it('show replicas by pool, and forget a pool that is left', async () => {
    const { metrics, series } = setUp();
    metrics.setServing('team-a/front', figures);
    expect(await series('vicuna_serving_pool_replicas')).toHaveLength(2);
    metrics.setServing('team-a/front', { ...figures, models: figures.models.map((m) => ({ ...m, pools: { gcp: 3 } })) });
    expect(await series('vicuna_serving_pool_replicas')).toEqual([
      'vicuna_serving_pool_replicas{namespace="team-a",serving="front",model="chat",pool="gcp"} 3',
    ]);
  });

  it('show which limit holds the number of replicas, one at a time', async () => {
    const { metrics, series } = setUp();
    metrics.setServing('team-a/front', figures);
    metrics.setServing('team-a/front', { ...figures, scalingLimit: 'TooManyReplicas' });
    expect(await series('vicuna_serving_scaling_limit')).toEqual([expect.stringContaining('reason="TooManyReplicas"} 1')]);
  });

  it('say whether metrics can be read only where the number of replicas follows some', async () => {
    const { metrics, series } = setUp();
    metrics.setServing('team-a/front', { ...figures, metricsAvailable: false });
    expect(await series('vicuna_serving_metrics_available')).toEqual([expect.stringMatching(/ 0$/)]);
    metrics.setServing('team-a/front', figures);
    expect(await series('vicuna_serving_metrics_available')).toEqual([]);
  });
});
