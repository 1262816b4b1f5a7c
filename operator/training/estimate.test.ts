import { describe, expect, it } from 'vitest';
import { withDefaults } from '../api/vicuna-training.ts';
import { estimateHours, estimateMemory, estimateTraining, memoryShortage, peakTflops, trainedParameters } from './estimate.ts';
import { formatParameters, parametersOf, shapeOfConfig, shapeOfSize } from './model-shape.ts';
import { PRESETS } from './recipe.ts';
import { pool, World } from './testing.ts';

const LLAMA_7B = {
  num_hidden_layers: 32,
  hidden_size: 4_096,
  intermediate_size: 11_008,
  vocab_size: 32_000,
  num_attention_heads: 32,
};
const seven = shapeOfSize(6.74e9);
const thirteen = shapeOfSize(13e9);
const gpus = (name: string, memory: number | null, more: object = {}) => ({
  ...pool(name),
  accelerator: 'A100',
  gpusPerNode: 8,
  gpuMemoryGiB: memory,
  ...more,
});

function training(spec: { recipe?: object; workers?: object; model?: object; dataset?: object; placement?: object } = {}) {
  return withDefaults({
    metadata: { name: 'x' },
    spec: {
      model: { base: 's3://m', ...spec.model },
      dataset: { uri: 's3://d', ...spec.dataset },
      recipe: { preset: 'vicuna-13b', ...spec.recipe },
      workers: { gpusPerWorker: 8, image: 'i', ...spec.workers },
      placement: spec.placement ?? {},
      checkpoint: { storage: 's3://c' },
    },
  } as never);
}

describe('a model’s shape', () => {
  it('follows from its config.json, exactly', () => {
    expect(shapeOfConfig(LLAMA_7B)?.parameters).toBe(6_738_415_616);
    const grouped = { num_hidden_layers: 32, hidden_size: 4_096, intermediate_size: 14_336, vocab_size: 128_256, num_attention_heads: 32 };
    expect(shapeOfConfig({ ...grouped, num_key_value_heads: 8 })?.parameters).toBe(8_030_261_248); // Llama 3 8B
    expect(shapeOfConfig({ ...LLAMA_7B, hidden_size: 'x' })).toBeNull();
    expect(shapeOfConfig(null)).toBeNull();
  });

  it.each([
    [1.1e9, 22, 2_048],
    [32.5e9, 60, 6_656],
    [65.2e9, 80, 8_192],
  ])('of %d parameters is near the published one', (count, layers, hidden) => {
    const shape = shapeOfSize(count);
    expect(Math.abs(shape.layers / layers - 1)).toBeLessThan(0.2);
    expect(Math.abs(shape.hidden / hidden - 1)).toBeLessThan(0.2);
  });

  it('is called as models are', () => {
    expect(['350M', '7B', '13.5B', '1T'].map(parametersOf)).toEqual([3.5e8, 7e9, 1.35e10, 1e12]);
    expect([3.5e8, 6.74e9, 1.302e10].map(formatParameters)).toEqual(['350M', '6.74B', '13B']);
  });
});

describe('memory', () => {
  const recipe = PRESETS['vicuna-7b'];

  it('of weights and optimizer is 16 bytes a parameter, shared by the GPUs', () => {
    expect(estimateMemory(seven, recipe, 1).states).toBeCloseTo((16 * 6.74e9) / 2 ** 30, 3);
    expect(estimateMemory(seven, recipe, 8).states).toBeCloseTo((2 * 6.74e9) / 2 ** 30, 3);
  });

  it('lets the published recipes fit the GPUs on which they ran', () => {
    // 7B on 4 A100 of 40 GB; 13B on 8 of 80 GB on the release day.
    expect(estimateMemory(seven, recipe, 4).total).toBeLessThan(40);
    expect(estimateMemory(thirteen, PRESETS['vicuna-13b-2023-03'], 8).total).toBeLessThan(80);
    expect(estimateMemory(seven, recipe, 1).total).toBeGreaterThan(80);
  });

  it('of activations is what the recipe makes it', () => {
    const of = (more: object) => estimateMemory(seven, { ...recipe, ...more }, 8).activations;
    expect(of({ activationCheckpointing: false })).toBeGreaterThan(4 * of({}));
    expect(of({ microBatchSize: 4 })).toBeCloseTo(2 * of({}), 5);
    expect(of({ attention: 'eager' })).toBeGreaterThan(of({}) + 1);
    expect(of({ packing: true })).toBeGreaterThan(of({}));
  });

  it('of adapters is little: a 7B model of 4 bits is trained on one GPU of 24 GiB, of 16 bits it takes 24 and more', () => {
    const qlora = PRESETS['vicuna-7b-qlora'];
    expect(trainedParameters(seven, qlora)).toBe(32 * 8 * 4 * 4_096);
    expect(estimateMemory(seven, qlora, 1).total).toBeLessThan(12);
    const lora = { ...qlora, lora: { rank: 8, dropout: 0, quantization: 'none' as const, export: 'merged' as const } };
    expect(estimateMemory(seven, lora, 1).states).toBeGreaterThan(12.5);
    expect(trainedParameters(seven, lora)).toBe(32 * 8 * (4 * 2 * 4_096 + 3 * (4_096 + 11_008)));
  });
});

describe('time', () => {
  it('of Vicuna 13B is the day that its authors tell of: 70,000 conversations, 3 epochs, 8 A100', () => {
    // FastChat says 370 M tokens of 125,000 conversations.
    const tokens = 3 * 370e6 * (70 / 125);
    const hours = estimateHours(thirteen, PRESETS['vicuna-13b-2023-03'], tokens, 8, 'A100') ?? 0;
    expect(hours).toBeGreaterThan(12);
    expect(hours).toBeLessThan(30);
  });

  it('is not known of unknown accelerators', () => {
    expect(['A100', 'nvidia-a100-80gb', 'NVIDIA L4', 'A10G', 'H100-SXM', 'none', 'TPU'].map(peakTflops)).toEqual([
      312,
      312,
      121,
      70,
      989,
      null,
      null,
    ]);
    expect(estimateHours(seven, PRESETS['vicuna-7b'], 1e9, 8, 'TPU')).toBeNull();
  });
});

describe('the estimate of a training', () => {
  it('says for each pool with the right accelerator whether it fits, how long it takes and what it costs', () => {
    const offered = [
      gpus('spot-80', 80, { price: { spot: 10, onDemand: 30 } }),
      gpus('old-40', 24),
      gpus('silent', null, { price: { spot: 100, onDemand: 300 } }),
      gpus('other', 80, { accelerator: 'H100' }),
      gpus('small', 80, { gpusPerNode: 4 }),
    ];
    const made = estimateTraining(training({ dataset: { tokens: 2e8 }, placement: { accelerator: 'A100' } }), offered);
    expect(made?.pools.map((p) => [p.pool, p.fits, p.leastGiB > (p.gpuMemoryGiB ?? Number.POSITIVE_INFINITY)])).toEqual([
      ['spot-80', true, false],
      ['old-40', false, true],
      ['silent', null, false],
    ]);
    const [first] = made?.pools ?? [];
    expect(first?.dollars).toBeCloseTo(10 * (first?.hours ?? 0), 6);
    expect(made?.message).toMatch(
      /^13B parameters, the size that the preset is named for .* on each of 8 GPUs: .*cheapest on spot-80: about \d+ h and \$\d+/,
    );
  });

  it('is made for the smallest world’s memory and the wanted world’s time', () => {
    const of = (workers: object) => estimateTraining(training({ dataset: { tokens: 2e8 }, workers }), [gpus('a', 80)])?.pools[0];
    const [one, two] = [of({ min: 1, max: 1 }), of({ min: 1, max: 2 })];
    expect(two?.neededGiB).toBe(one?.neededGiB);
    expect(two?.hours).toBeCloseTo((one?.hours ?? 0) / 2, 6);
    expect(two?.dollars).toBeCloseTo(one?.dollars ?? 0, 6);
  });

  it('says in a few words what is missing, where no pool has memory enough', () => {
    const one = training({ workers: { gpusPerWorker: 1 }, recipe: { preset: 'vicuna-7b' } });
    const made = estimateTraining(one, [gpus('a100', 40)]);
    expect(made && memoryShortage(made)).toMatch(/^needs about 1[0-9]{2} GiB a GPU, pool a100 has 40$/);
    const both = estimateTraining(one, [gpus('a100', 40), gpus('huge', 300)]);
    expect(both && memoryShortage(both)).toBeNull();
  });

  it('is not made of what is not known', () => {
    expect(estimateTraining(training({ recipe: { preset: 'tiny' } }), [gpus('a', 80)])).toBeNull();
    expect(estimateTraining(training({ workers: { command: ['x'] } }), [gpus('a', 80)])).toBeNull();
    expect(estimateTraining(training({ workers: { gpusPerWorker: 0 } }), [gpus('a', 80)])).toBeNull();
    expect(estimateTraining(training(), [gpus('a', 80)])?.pools[0]?.hours).toBeNull();
    expect(estimateTraining(training({ recipe: { overrides: { maxSteps: 100 } } }), [gpus('a', 80)])?.tokens).toBe(100 * 128 * 2_048);
    expect(estimateTraining(training({ model: { parameters: '350M' }, recipe: { preset: 'tiny' } }), [gpus('a', 80)])?.isTold).toBe(true);
  });
});

describe('where a training runs', () => {
  const spec = (more: object = {}) => ({
    model: { base: 's3://models/llama', parameters: '13B' },
    recipe: { preset: 'vicuna-13b' },
    workers: { gpusPerWorker: 1, min: 1, max: 1, image: 'i' },
    ...more,
  });

  it('is never a pool whose GPUs cannot hold their share of a model of known size; condition Placed says what it needs', () => {
    const world = new World(spec(), [gpus('a100', 40), gpus('b100', 24)]);
    world.step();
    expect(world.condition('Placed')).toMatchObject({
      status: 'False',
      reason: 'DoesNotFit',
      message: expect.stringMatching(/needs about 2[0-9]{2} GiB a GPU, pool a100 has 40, pool b100 has 24/),
    });
    expect(world.status.estimate?.pools).toMatchObject([
      { pool: 'a100', fits: false, gpuMemory: '40Gi' },
      { pool: 'b100', fits: false, gpuMemory: '24Gi' },
    ]);
    expect(world.status.placement?.alternatives.map((a) => a.verdict)[0]).toMatch(/^needs at least 194 GiB a GPU, has 40$/);
    world.pools = [gpus('a100', 40), gpus('huge', 500)];
    world.step();
    expect(world.status.next?.pool).toBe('huge');
  });

  it('is not decided by a size that the preset’s name suggests', () => {
    const world = new World(spec({ model: { base: 's3://models/llama' } }), [gpus('a100', 40)]);
    world.step();
    expect(world.status.next?.pool).toBe('a100');
    expect(world.condition('Placed')?.message).toContain('needs about');
    expect(world.status.estimate?.message).toContain('13B parameters, the size that the preset is named for');
  });

  it('changes the estimate only when it says something else', () => {
    const world = new World(spec({ dataset: { uri: 's3://d', tokens: 1e8 } }), [
      gpus('a', 500, { freeSlots: 0, price: { spot: 10, onDemand: 30 } }),
    ]);
    world.step();
    const before = world.status.estimate;
    world.pools = [gpus('a', 500, { freeSlots: 0, price: { spot: 10.2, onDemand: 30 } })];
    world.step();
    expect(world.status.estimate).toEqual(before);
    world.pools = [gpus('a', 500, { freeSlots: 0, price: { spot: 15, onDemand: 30 } })];
    world.step();
    expect(world.status.estimate).not.toEqual(before);
  });
});
