/** What must be known of a model to place it. */
export interface ModelProfile {
  readonly name: string;
  /** Seconds that one request takes on one GPU. */
  readonly latencySeconds: number;
  /** GiB of weights; a group's GPUs share them evenly. */
  readonly weightsGiB: number;
  /** GiB that the model needs beside its weights while it is loaded (cache, activations); shared evenly, too. */
  readonly workingGiB: number;
}

/** How a group of pipeline × tensor GPUs runs its models. */
export interface Parallelism {
  /** Inter-operator: stages one after another, each on other layers. */
  readonly pipeline: number;
  /** Intra-operator: GPUs that compute each operator of a stage together. */
  readonly tensor: number;
}

/**
 * What parallelism costs: assumptions, to be replaced by measurements of the engine in use. Each stage beyond the first makes a request 2 %
 * slower (uneven stages, sending activations on); of a request's time on one GPU a tenth, times (n - 1) / n, is added for all-reduces
 * among n GPUs.
 */
export const PARALLEL_OVERHEAD = { pipeline: 0.02, tensor: 0.1 } as const;

/** Seconds that one request occupies each stage. */
export function stageSeconds(model: ModelProfile, { pipeline, tensor }: Parallelism): number {
  const together = model.latencySeconds * (1 / tensor + (PARALLEL_OVERHEAD.tensor * (tensor - 1)) / tensor);
  return (together * (1 + PARALLEL_OVERHEAD.pipeline * (pipeline - 1))) / pipeline;
}

/** Seconds of one request in a group that has nothing else to do. */
export function requestSeconds(model: ModelProfile, parallelism: Parallelism): number {
  return stageSeconds(model, parallelism) * parallelism.pipeline;
}

/** GiB that the model takes on each GPU of a group. */
export function gibPerGpu(model: Pick<ModelProfile, 'weightsGiB' | 'workingGiB'>, { pipeline, tensor }: Parallelism): number {
  return (model.weightsGiB + model.workingGiB) / (pipeline * tensor);
}
