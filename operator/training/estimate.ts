import type { VicunaTraining } from '../api/vicuna-training.ts';
import { type PoolView, pricePerHour } from '../spot/pool-view.ts';
import { formatParameters, type ModelShape, shapeOfTraining } from './model-shape.ts';
import { type Recipe, resolveRecipe } from './recipe.ts';

/** Of one GPU, GiB. */
export interface MemoryEstimate {
  /** What the sharded model, its gradients and its optimizer take: the least, whatever else is done. */
  readonly states: number;
  /** What layers take while they are gathered whole. */
  readonly gathered: number;
  readonly activations: number;
  /** Of CUDA, NCCL and what the allocator cannot use. */
  readonly overhead: number;
  readonly total: number;
}

export interface PoolEstimate {
  readonly pool: string;
  /** Null = the pool does not say how much memory its GPUs have. */
  readonly fits: boolean | null;
  /** What the states alone take of one GPU in the largest world: without that nothing can run there. */
  readonly leastGiB: number;
  /** Of one GPU in the smallest world. */
  readonly neededGiB: number;
  readonly gpuMemoryGiB: number | null;
  /** With max workers; null = the dataset's tokens or the accelerator's speed are not known. */
  readonly hours: number | null;
  readonly dollars: number | null;
}

export interface TrainingEstimate {
  readonly parameters: number;
  /** Tokens that are computed in the whole training, or null. */
  readonly tokens: number | null;
  /** The size is said of the model itself, so that a pool may be refused by it. */
  readonly isTold: boolean;
  readonly pools: readonly PoolEstimate[];
  readonly message: string;
}

const GIB = 2 ** 30;
/** Adam's two moments, the weight and its gradient, each in fp32: what our trainer keeps (ZeRO, Rajbhandari et al. 2020, 3.1, counts as many). */
const TRAINED_BYTES = 16;
/** QLoRA (Dettmers et al. 2023, section 3): 4 bits, and 0.127 for the doubly quantized constants. */
const NF4_BYTES = 4.127 / 8;
/** A few hundred MiB each for CUDA's context and NCCL's buffers, and what measurements of others show beside. */
const OVERHEAD_GIB = 1.5;
/** Of what is allocated, the share that fragmentation makes useless. */
const FRAGMENTATION = 0.05;
/** Hardware FLOPs of the peak that sharded training of such models reaches; PaLM (Chowdhery et al. 2022, table 3) had 0.58 at best. */
const UTILIZATION = 0.4;

/** Dense bf16 TFLOPS of the vendors' data sheets (fp16 where there is no bf16: V100, T4), by how the type's name begins. */
const PEAK_TFLOPS: readonly (readonly [string, number])[] = [
  ['B200', 2_250],
  ['H200', 989],
  ['H100', 989],
  ['GH200', 989],
  ['A100', 312],
  ['L40S', 362],
  ['A10G', 70],
  ['A10', 125],
  ['L4', 121],
  ['V100', 125],
  ['T4', 65],
];

/** TFLOPS of an accelerator type such as "A100" or "nvidia-a100-80gb"; null = unknown. */
export function peakTflops(accelerator: string): number | null {
  const name = accelerator.toUpperCase().replace(/^(NVIDIA|TESLA)[-_ ]/, '');
  return PEAK_TFLOPS.find(([start]) => name.startsWith(start))?.[1] ?? null;
}

/** Parameters that are trained: all, or those of the adapters, two matrices beside each linear layer. */
export function trainedParameters(shape: ModelShape, { lora }: Recipe): number {
  if (!lora) return shape.parameters;
  const { hidden, feedForward, layers } = shape;
  const sides: Readonly<Record<string, number>> = {
    gate_proj: hidden + feedForward,
    up_proj: hidden + feedForward,
    down_proj: hidden + feedForward,
  };
  const targets = lora.targetModules ?? ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
  return layers * lora.rank * targets.reduce((sum, name) => sum + (sides[name] ?? 2 * hidden), 0);
}

/** Memory of one GPU of so many, all of which share the model (FSDP's full shard). */
export function estimateMemory(shape: ModelShape, recipe: Recipe, gpus: number): MemoryEstimate {
  const { parameters, layers, hidden, vocabulary } = shape;
  const { lora, microBatchSize, contextLength } = recipe;
  const width = recipe.precision === 'bf16' ? 2 : 4;
  const trained = trainedParameters(shape, recipe);
  const embeddings = 2 * vocabulary * hidden;
  const inLayers = Math.max(0, parameters - embeddings);
  const isQuantized = lora?.quantization === 'nf4';
  const frozen = !lora ? 0 : isQuantized ? inLayers * NF4_BYTES + (embeddings * width) / gpus : (parameters * width) / gpus;
  const states = (trained * TRAINED_BYTES) / gpus + frozen;
  // Two layers are whole at a time, the one that computes and the next; embedding and head for the whole of a step. Gradients
  // of what is trained are there in the computation's precision and, while they are summed, in fp32.
  const layer = isQuantized ? 0 : inLayers / layers;
  const gathered = 2 * layer * width + embeddings * width + (lora ? 0 : (layer + embeddings) * (width + 4));
  const tokens = microBatchSize * contextLength;
  // 34 bytes for each token and hidden unit of a layer at 16 bits, of which its input is 2 (Korthikanti et al. 2022, 4.1); attention
  // keeps no scores with sdpa or flash, with eager 5 bytes for each pair of tokens and head (as many heads as hidden / 128).
  const pairs = recipe.attention === 'eager' ? 5 * (hidden / 128) * microBatchSize * contextLength ** 2 : 0;
  const perLayer = (34 * tokens * hidden + pairs) * (width / 2);
  const kept = recipe.activationCheckpointing ? layers * tokens * hidden * width + perLayer : layers * perLayer;
  // Logits in the computation's precision, and in fp32 themselves, their log-softmax and their gradient.
  const logits = tokens * vocabulary * (2 * width + 12);
  const mask = recipe.packing ? tokens * contextLength : 0;
  const activations = kept + logits + mask;
  const used = (states + gathered + activations) / GIB;
  const overhead = OVERHEAD_GIB + FRAGMENTATION * used;
  return {
    states: states / GIB,
    gathered: gathered / GIB,
    activations: activations / GIB,
    overhead,
    total: used + overhead,
  };
}

/**
 * FLOPs for one token: 6 for each parameter and 12 layers hidden context for attention (PaLM, appendix B); a third more where
 * activations are computed twice, a third less where the base's weights get no gradient.
 */
export function flopsPerToken(shape: ModelShape, recipe: Recipe): number {
  const passes = 3 + (recipe.activationCheckpointing ? 1 : 0);
  const weightPasses = recipe.lora ? passes - 1 : passes;
  return 2 * weightPasses * shape.parameters + 4 * passes * shape.layers * shape.hidden * recipe.contextLength;
}

/** Hours to train on so many tokens, without interruptions; null = the accelerator is not known. */
export function estimateHours(shape: ModelShape, recipe: Recipe, tokens: number, gpus: number, accelerator: string): number | null {
  const peak = peakTflops(accelerator);
  if (peak === null || gpus === 0) return null;
  return (flopsPerToken(shape, recipe) * tokens) / (gpus * peak * 1e12 * UTILIZATION) / 3_600;
}

/** Tokens that the whole training computes; null = nobody has said how many the dataset has, and no step limit bounds them. */
export function tokensOf({ spec }: VicunaTraining, recipe: Recipe): number | null {
  const most = recipe.maxSteps === undefined ? null : recipe.maxSteps * recipe.globalBatchTokens;
  const epochs = spec.dataset.tokens === undefined ? null : recipe.epochs * spec.dataset.tokens;
  return most === null ? epochs : Math.min(most, epochs ?? most);
}

/**
 * Whether a training fits the pools, and what it would take there. Null where nothing is known of the model, or the program is the user's
 * own. `shape`: the model's own, where its config.json could be read.
 */
export function estimateTraining(training: VicunaTraining, offered: readonly PoolView[], shape?: ModelShape): TrainingEstimate | null {
  const { workers, placement } = training.spec;
  const known = shape === undefined ? shapeOfTraining(training) : { shape, isTold: true };
  if (known === null || workers.command !== undefined || workers.gpusPerWorker === 0) return null;
  const recipe = resolveRecipe(training);
  const tokens = tokensOf(training, recipe);
  const perWorker = workers.gpusPerWorker;
  const memory = estimateMemory(known.shape, recipe, workers.min * perWorker);
  const leastGiB = estimateMemory(known.shape, recipe, workers.max * perWorker).states;
  const suitable = offered.filter(
    (pool) =>
      pool.gpusPerNode >= perWorker &&
      (placement.accelerator === undefined || placement.accelerator === pool.accelerator) &&
      (placement.capacity === 'auto' || placement.capacity === pool.capacity),
  );
  const pools = suitable.map((pool): PoolEstimate => {
    const hours = tokens === null ? null : estimateHours(known.shape, recipe, tokens, workers.max * perWorker, pool.accelerator);
    return {
      pool: pool.name,
      fits: pool.gpuMemoryGiB === null ? null : memory.total <= pool.gpuMemoryGiB,
      leastGiB,
      neededGiB: memory.total,
      gpuMemoryGiB: pool.gpuMemoryGiB,
      hours,
      dollars: hours === null ? null : hours * pricePerHour(pool, workers.max, perWorker),
    };
  });
  const estimate = { parameters: known.shape.parameters, tokens, isTold: known.isTold, pools };
  return { ...estimate, message: messageOf(estimate, memory, workers.min * perWorker) };
}

/** "needs about 140 GiB a GPU, pool a100 has 40"; null where it fits, or may. */
export function memoryShortage({ pools }: TrainingEstimate, only?: string): string | null {
  const short = pools.filter((pool) => pool.fits === false && (only === undefined || pool.pool === only));
  const [first] = short;
  if (first === undefined || (only === undefined && short.length < pools.length)) return null;
  const has = short.map((pool) => `${pool.pool} has ${gib(pool.gpuMemoryGiB ?? 0)}`).slice(0, 4);
  return `needs about ${gib(first.neededGiB)} GiB a GPU, pool ${has.join(', pool ')}`;
}

function messageOf(estimate: Omit<TrainingEstimate, 'message'>, memory: MemoryEstimate, gpus: number): string {
  const whose = estimate.isTold ? '' : ', the size that the preset is named for (spec.model.parameters would say it)';
  const parts = [
    `${formatParameters(estimate.parameters)} parameters${whose}`,
    `about ${gib(memory.total)} GiB on each of ${gpus} GPUs: ${gib(memory.states)} for weights and optimizer, ${gib(memory.gathered)} for layers gathered, ${gib(memory.activations)} for activations`,
  ];
  const times = estimate.pools.flatMap((pool) => (pool.hours !== null && pool.dollars !== null && pool.fits !== false ? [pool] : []));
  const cheapest = times.toSorted((a, b) => (a.dollars ?? 0) - (b.dollars ?? 0))[0];
  if (estimate.tokens === null) parts.push('how long is not known: spec.dataset.tokens would say how much there is to do');
  else if (cheapest)
    parts.push(`cheapest on ${cheapest.pool}: about ${hoursOf(cheapest.hours ?? 0)} and $${(cheapest.dollars ?? 0).toFixed(2)}`);
  return parts.join('; ');
}

/** GiB as people read them. */
export function gib(value: number): string {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

function hoursOf(hours: number): string {
  return `${hours < 10 ? hours.toFixed(1) : Math.round(hours)} h`;
}
