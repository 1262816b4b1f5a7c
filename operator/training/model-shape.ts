import type { VicunaTraining } from '../api/vicuna-training.ts';

/** What memory and time of a decoder-only transformer depend on. */
export interface ModelShape {
  readonly parameters: number;
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly vocabulary: number;
}

/** As published with LLaMA (Touvron et al. 2023, table 2). */
const LLAMA_7B: ModelShape = { parameters: 6.74e9, layers: 32, hidden: 4_096, feedForward: 11_008, vocabulary: 32_000 };
const LLAMA_13B: ModelShape = { parameters: 13.02e9, layers: 40, hidden: 5_120, feedForward: 13_824, vocabulary: 32_000 };

/** The models that presets are named for. */
const OF_PRESET: Readonly<Partial<Record<VicunaTraining['spec']['recipe']['preset'], ModelShape>>> = {
  'vicuna-7b': LLAMA_7B,
  'vicuna-7b-2023-03': LLAMA_7B,
  'vicuna-7b-qlora': LLAMA_7B,
  'alpaca-7b': LLAMA_7B,
  'vicuna-13b': LLAMA_13B,
  'vicuna-13b-2023-03': LLAMA_13B,
  'alpaca-13b': LLAMA_13B,
};

/** The shape that a training's spec tells of, or null. `isTold`: it is said of the model itself, not taken from the preset's name. */
export function shapeOfTraining({ spec }: VicunaTraining): { readonly shape: ModelShape; readonly isTold: boolean } | null {
  if (spec.model.parameters !== undefined) return { shape: shapeOfSize(parametersOf(spec.model.parameters)), isTold: true };
  const shape = OF_PRESET[spec.recipe.preset];
  return shape === undefined ? null : { shape, isTold: false };
}

/** Number of parameters of "350M", "7B", "13.5B". */
export function parametersOf(text: string): number {
  const unit = { M: 1e6, B: 1e9, T: 1e12 }[text.slice(-1)] ?? Number.NaN;
  return Number(text.slice(0, -1)) * unit;
}

/** "350M", "6.7B": as models are called. */
export function formatParameters(count: number): string {
  const [unit, name] = count >= 1e12 ? [1e12, 'T'] : count >= 1e9 ? [1e9, 'B'] : [1e6, 'M'];
  return `${Number((count / Number(unit)).toPrecision(3))}${name}`;
}

/**
 * A LLaMA of so many parameters: of its family parameters ≈ 12 layers hidden² (Kaplan et al. 2020, 2.1), hidden ≈ 128 layers and
 * feedForward ≈ 8/3 hidden. Exact for none, near enough for an estimate.
 */
export function shapeOfSize(parameters: number): ModelShape {
  const known = [LLAMA_7B, LLAMA_13B].find((shape) => Math.abs(parameters / shape.parameters - 1) < 0.05);
  if (known) return { ...known, parameters };
  const layers = Math.max(1, Math.round(Math.cbrt(parameters / (12 * 128 ** 2))));
  const hidden = Math.max(64, Math.round(Math.sqrt(parameters / (12 * layers)) / 64) * 64);
  return { parameters, layers, hidden, feedForward: Math.round((8 * hidden) / 3), vocabulary: 32_000 };
}

/** The shape that a LLaMA's config.json tells of; null where it is not of that form. */
export function shapeOfConfig(config: unknown): ModelShape | null {
  if (typeof config !== 'object' || config === null) return null;
  const number = (key: string) => {
    const value = (config as Record<string, unknown>)[key];
    return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : null;
  };
  const [layers, hidden, vocabulary, feedForward, heads] = [
    number('num_hidden_layers'),
    number('hidden_size'),
    number('vocab_size'),
    number('intermediate_size'),
    number('num_attention_heads'),
  ];
  if (layers === null || hidden === null || vocabulary === null || feedForward === null || heads === null) return null;
  const headSize = number('head_dim') ?? hidden / heads;
  const keys = (number('num_key_value_heads') ?? heads) * headSize;
  const layer = 2 * hidden * heads * headSize + 2 * hidden * keys + 3 * hidden * feedForward + 2 * hidden;
  const isTied = (config as Record<string, unknown>).tie_word_embeddings === true;
  return { parameters: layers * layer + (isTied ? 1 : 2) * vocabulary * hidden + hidden, layers, hidden, feedForward, vocabulary };
}
