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
};

export const PRESETS: Readonly<Record<VicunaTraining['spec']['recipe']['preset'], Recipe>> = {
  'vicuna-7b': VICUNA,
  'vicuna-13b': { ...VICUNA, microBatchSize: 4 },
  // Stanford Alpaca's README: 512 tokens, 3 % warm-up.
  'alpaca-7b': { ...VICUNA, contextLength: 512, globalBatchTokens: 128 * 512, warmupRatio: 0.03, microBatchSize: 4 },
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
