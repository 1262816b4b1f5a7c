import { POOL_CONDITIONS, SERVING_CONDITIONS, TRAINING_CONDITIONS } from './conditions.ts';
import type { Kind } from './crd.ts';
import { gpuPoolSchema } from './gpu-pool.ts';
import { servingRules, vicunaServingSchema } from './vicuna-serving.ts';
import { trainingRules, vicunaTrainingSchema } from './vicuna-training.ts';

/** Every kind that the operator serves. */
export const KINDS: readonly Kind[] = [
  {
    kind: 'VicunaTraining',
    plural: 'vicunatrainings',
    shortName: 'vt',
    scope: 'Namespaced',
    description: 'VicunaTraining fine-tunes a language model on spot GPUs and outlives the nodes it runs on.',
    schema: vicunaTrainingSchema,
    rules: trainingRules,
    conditions: TRAINING_CONDITIONS,
    columns: [
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Pool', type: 'string', jsonPath: '.status.pool' },
      { name: 'Step', type: 'string', jsonPath: '.status.progress.display' },
      { name: 'Loss', type: 'string', jsonPath: '.status.progress.lossDisplay' },
      { name: 'ETA', type: 'string', jsonPath: '.status.progress.eta' },
      { name: 'Checkpoint', type: 'date', jsonPath: '.status.checkpoint.savedAt' },
      { name: 'Interruptions', type: 'integer', jsonPath: '.status.totals.interruptions' },
      { name: 'Cost', type: 'string', jsonPath: '.status.totals.cost' },
      { name: 'Saved', type: 'string', jsonPath: '.status.totals.savedPercent' },
      { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
      { name: 'Generation', type: 'integer', jsonPath: '.status.generation', priority: 1 },
      { name: 'Lost steps', type: 'integer', jsonPath: '.status.totals.lostSteps', priority: 1 },
      { name: 'Goodput', type: 'number', jsonPath: '.status.totals.goodput', priority: 1 },
    ],
  },
  {
    kind: 'VicunaServing',
    plural: 'vicunaservings',
    shortName: 'vs',
    scope: 'Namespaced',
    description: 'VicunaServing answers questions with several models on GPUs that come and go, under one endpoint with OpenAI’s API.',
    schema: vicunaServingSchema,
    rules: servingRules,
    conditions: SERVING_CONDITIONS,
    scale: { specReplicasPath: '.spec.replicas.min', statusReplicasPath: '.status.replicas', labelSelectorPath: '.status.selector' },
    columns: [
      { name: 'Ready', type: 'string', jsonPath: '.status.ready' },
      { name: 'Models', type: 'string', jsonPath: '.status.modelNames' },
      { name: 'URL', type: 'string', jsonPath: '.status.url' },
      { name: 'Interruptions', type: 'integer', jsonPath: '.status.totals.interruptions' },
      { name: 'Cost', type: 'string', jsonPath: '.status.totals.cost' },
      { name: 'Saved', type: 'string', jsonPath: '.status.totals.savedPercent' },
      { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
    ],
  },
  {
    kind: 'GpuPool',
    plural: 'gpupools',
    shortName: 'gp',
    scope: 'Cluster',
    description: 'GpuPool describes nodes of one kind, price and place, on which trainings and servings may run.',
    schema: gpuPoolSchema,
    rules: [],
    conditions: POOL_CONDITIONS,
    columns: [
      { name: 'Cloud', type: 'string', jsonPath: '.spec.cloud' },
      { name: 'Zone', type: 'string', jsonPath: '.spec.zone' },
      { name: 'Capacity', type: 'string', jsonPath: '.spec.capacity' },
      { name: 'GPU', type: 'string', jsonPath: '.spec.accelerator.type' },
      { name: 'Nodes', type: 'integer', jsonPath: '.status.nodes' },
      { name: 'Free', type: 'integer', jsonPath: '.status.gpus.free' },
      { name: 'Interruptions', type: 'integer', jsonPath: '.status.interruptions' },
      { name: 'Blocked until', type: 'date', jsonPath: '.status.blockedUntil' },
      { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
      { name: 'Instance', type: 'string', jsonPath: '.spec.instanceType', priority: 1 },
      { name: 'Life h', type: 'number', jsonPath: '.status.estimatedLifeHours', priority: 1 },
    ],
  },
];
