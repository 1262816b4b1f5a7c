import type { VicunaTraining } from '../api/vicuna-training.ts';

export interface Recipe {
  readonly learningRate: number;
  readonly epochs: number;
  readonly contextLength: number;
  readonly globalBatchTokens: number;
  readonly microBatchSize: number;
  readonly warmupRatio: number;
  readonly weightDecay: number;
  readonly schedule: 'cosine' | 'linear' | 'constant';
  readonly seed: number;
  readonly precision: 'bf16' | 'fp32';
  readonly activationCheckpointing: boolean;
  readonly attention: 'sdpa' | 'flash' | 'eager';
  readonly conversationTemplate: 'vicuna_v1.1' | 'vicuna_v0';
  readonly packing: boolean;
  readonly lora?: NonNullable<VicunaTraining['spec']['recipe']['overrides']['lora']>;
  readonly maxSteps?: number;
}

/** FastChat's published recipe (scripts/train_vicuna_*.sh): lr 2e-5, cosine, 4 % warm-up, 3 epochs, 128 sequences of 2,048 tokens. */
const VICUNA: Recipe = {
  learningRate: 2e-5,
  epochs: 3,
  contextLength: 2_048,
  globalBatchTokens: 128 * 2_048,
  microBatchSize: 2,
  warmupRatio: 0.04,
  weightDecay: 0,
  schedule: 'cosine',
  seed: 42,
  precision: 'bf16',
  activationCheckpointing: true,
  attention: 'sdpa',
  conversationTemplate: 'vicuna_v1.1',
  packing: false,
};

/**
 * What trained the first release (scripts/train-vicuna.yaml of FastChat's first commits, 31 March 2023): 65,536 tokens a step on 8 A100,
 * whatever the README's table beside it said, 3 % warm-up, and the prompts of that day.
 */
const RELEASE_DAY: Recipe = {
  ...VICUNA,
  globalBatchTokens: 65_536,
  microBatchSize: 4,
  warmupRatio: 0.03,
  conversationTemplate: 'vicuna_v0',
};

/** Stanford Alpaca's README: 128 sequences of 512 tokens, 3 % warm-up. */
const ALPACA: Recipe = { ...VICUNA, contextLength: 512, globalBatchTokens: 128 * 512, warmupRatio: 0.03, microBatchSize: 4 };

export const PRESETS: Readonly<Record<VicunaTraining['spec']['recipe']['preset'], Recipe>> = {
  'vicuna-7b': VICUNA,
  'vicuna-13b': { ...VICUNA, microBatchSize: 4 },
  'vicuna-7b-2023-03': RELEASE_DAY,
  'vicuna-13b-2023-03': RELEASE_DAY,
  // FastChat's docs/training.md and train_lora.py, which leave the batch to the number of GPUs; it is ours.
  'vicuna-7b-qlora': {
    ...VICUNA,
    globalBatchTokens: 16 * 2_048,
    microBatchSize: 1,
    warmupRatio: 0.03,
    lora: { rank: 8, alpha: 16, dropout: 0.05, targetModules: ['q_proj', 'v_proj'], quantization: 'nf4', export: 'merged' },
  },
  'alpaca-7b': ALPACA,
  'alpaca-13b': { ...ALPACA, learningRate: 1e-5, epochs: 5 },
  // For trials and demonstrations on CPUs.
  tiny: {
    ...VICUNA,
    learningRate: 1e-3,
    epochs: 1,
    contextLength: 128,
    globalBatchTokens: 1_024,
    microBatchSize: 4,
    precision: 'fp32',
    activationCheckpointing: false,
  },
};

/** The preset with the spec's own values over it. */
export function resolveRecipe(training: VicunaTraining): Recipe {
  const { preset, overrides } = training.spec.recipe;
  return { ...PRESETS[preset], ...Object.fromEntries(Object.entries(overrides).filter(([, v]) => v !== undefined)) };
}
