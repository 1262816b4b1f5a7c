import { gibOf } from '../api/forms.ts';
import type { ServedModel } from '../api/vicuna-serving.ts';
import { workerUri } from '../pods/claims.ts';
import { gibPerGpu, type Parallelism } from '../spot/multiplexing/profile.ts';
import { sourceOf } from './delta.ts';
import { ENGINE_PORT, type Track, WEIGHTS_DIRECTORY } from './names.ts';

/** What a model's replicas run. */
export interface EngineCommand {
  readonly image: string | null;
  /** Null = the image's own. */
  readonly command: readonly string[] | null;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

interface EngineRequest {
  readonly model: ServedModel;
  readonly weights: string;
  /** Names under which clients ask. */
  readonly names: readonly string[];
  /** Seconds that running answers get after SIGTERM. */
  readonly drainSeconds: number;
  readonly port: number;
  readonly share: GpuShare | null;
}

/** Of a model that shares its GPUs with others. */
export interface GpuShare extends Parallelism {
  readonly port: number;
  /** Of one GPU. */
  readonly gpuMemoryGiB: number;
}

interface Engine {
  readonly image: string | null;
  command(request: EngineRequest): Pick<EngineCommand, 'command' | 'args'> & { readonly env?: Readonly<Record<string, string>> };
}

/** The engines by name. A new one needs a line here, its default queries in autoscaling/queries.ts, and its name in the kind. */
const ENGINES: Readonly<Record<ServedModel['engine'], Engine>> = {
  vllm: {
    image: 'docker.io/vllm/vllm-openai:v0.33.0',
    command: ({ model, weights, names, drainSeconds, port, share }) => ({
      command: ['vllm', 'serve', path(weights)],
      args: [
        ...['--served-model-name', ...names],
        ...['--host', '0.0.0.0', '--port', String(port)],
        ...parallel(model, share),
        ...(share ? ['--gpu-memory-utilization', memoryShare(model, share)] : []),
        ...(weights.startsWith('s3://') ? ['--load-format', 'runai_streamer'] : []),
        // Its default is to cut answers off.
        ...['--shutdown-timeout', String(drainSeconds)],
      ],
    }),
  },
  sglang: {
    image: 'docker.io/lmsysorg/sglang:v0.5.23',
    command: ({ model, weights, names, port, share }) => ({
      command: ['python3', '-m', 'sglang.launch_server'],
      args: [
        ...['--model-path', path(weights), '--served-model-name', names[0] ?? ''],
        ...['--host', '0.0.0.0', '--port', String(port)],
        ...parallel(model, share),
        ...(share ? ['--mem-fraction-static', memoryShare(model, share)] : []),
        '--enable-metrics',
      ],
      // It finishes what it has begun by itself; its health check must not wait for a place in a full queue.
      env: { SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION: 'false' },
    }),
  },
  transformers: {
    image: null,
    command: ({ weights, names, drainSeconds, port }) => ({
      command: ['python3', '-m', 'vicuna_engine'],
      args: [
        ...['--model', weights, '--served-model-name', ...names],
        ...['--port', String(port), '--shutdown-timeout', String(drainSeconds), '--cache-dir', WEIGHTS_DIRECTORY],
      ],
    }),
  },
  custom: {
    image: null,
    command: ({ model, weights, names, drainSeconds, port }) => ({
      command: model.command ?? null,
      args: [],
      env: {
        VICUNA_MODEL: weights,
        VICUNA_MODEL_NAMES: names.join(','),
        VICUNA_PORT: String(port),
        VICUNA_SHUTDOWN_TIMEOUT: String(drainSeconds),
      },
    }),
  },
};

/** Seconds between the order to end and SIGTERM: until then every gateway has heard of it. */
export const ROUTING_DELAY_SECONDS = 5;
/** Seconds that running answers get after SIGTERM; what is longer goes on at another worker. */
export const DRAIN_SECONDS = 45;
/** More than both together: the engine needs a moment to end. */
export const GRACE_SECONDS = ROUTING_DELAY_SECONDS + DRAIN_SECONDS + 10;

/** vLLM and SGLang call these alike. */
function parallel(model: ServedModel, share: GpuShare | null): string[] {
  const { tensor, pipeline } = share ?? { tensor: model.gpus, pipeline: 1 };
  return [
    ...(tensor > 1 ? ['--tensor-parallel-size', String(tensor)] : []),
    ...(pipeline > 1 ? ['--pipeline-parallel-size', String(pipeline)] : []),
  ];
}

/** The model's part of each GPU's memory, as its profile says. */
function memoryShare({ profile }: ServedModel, { gpuMemoryGiB, ...parallelism }: GpuShare): string {
  if (!profile) return '0.9';
  const needs = { weightsGiB: gibOf(profile.weightsMemory), workingGiB: gibOf(profile.workingMemory) };
  return Math.min(0.95, gibPerGpu(needs, parallelism) / gpuMemoryGiB).toFixed(3);
}

/** Image, command line and environment of a model's server. `ownImage` is that of this project's engine; `share` null = GPUs of its own. */
export function engineCommand(model: ServedModel, track: Track, ownImage: string, share: GpuShare | null = null): EngineCommand {
  const engine = ENGINES[model.engine];
  const canary = track === 'canary' ? model.canary : undefined;
  const source = sourceOf(model, track, ownImage);
  const weights = source.delta === null ? workerUri(source.weights) : `file://${source.delta.directory}`;
  const names = [model.name, ...model.aliases];
  const {
    command,
    args,
    env = {},
  } = engine.command({ model, weights, names, drainSeconds: DRAIN_SECONDS, port: share?.port ?? ENGINE_PORT, share });
  const byDefault = model.engine === 'transformers' ? ownImage : engine.image;
  return {
    image: canary?.image ?? model.image ?? byDefault,
    command,
    args: [...args, ...model.args, ...(canary?.args ?? [])],
    env: {
      ...env,
      // Everything that an engine writes goes where it may write.
      HOME: '/tmp',
      USER: 'vicuna',
      HF_HOME: WEIGHTS_DIRECTORY,
      VLLM_CACHE_ROOT: `${WEIGHTS_DIRECTORY}/vllm`,
    },
  };
}

/** vLLM and SGLang take a directory or a name on the hub as such. */
function path(weights: string): string {
  return weights.replace(/^(file|hf):\/\//, '');
}
