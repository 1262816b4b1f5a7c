import type { V1Probe } from '@kubernetes/client-node';
import type { ServedModel, VicunaServing } from '../api/vicuna-serving.ts';
import type { SharedGroup } from '../spot/multiplexing/regroup.ts';
import { type DeltaSource, sourceOf } from './delta.ts';
import { engineCommand } from './engines.ts';
import { GROUP_HEALTH, GROUP_LAUNCHER } from './group-launcher.ts';
import { ENGINE_PORT, HOLDS_PREFIX, modelPortName, type Track } from './names.ts';

/** What the one container of a replica runs, and the pod around it. */
export interface EngineContainer {
  /** Of the unit: the model, or the group. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly image: string | null;
  /** Null = the image's own. */
  readonly command: readonly string[] | null;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly health: Pick<V1Probe, 'httpGet' | 'exec'>;
  readonly gpus: number;
  readonly requests: Readonly<Record<string, string>>;
  /** Models to restore from base and delta before anything starts. */
  readonly deltas: readonly DeltaSource[];
  /** URIs that pods must be able to read. */
  readonly weights: readonly string[];
  readonly template: unknown;
}

/** A replica of one model. */
export function modelContainer(model: ServedModel, track: Track, ownImage: string): EngineContainer {
  return {
    name: model.name,
    labels: {},
    ...engineCommand(model, track, ownImage),
    ports: [{ name: 'http', containerPort: ENGINE_PORT }],
    health: { httpGet: { path: '/health', port: ENGINE_PORT } },
    gpus: model.gpus,
    requests: {
      ...(model.cpu === undefined ? {} : { cpu: String(model.cpu) }),
      ...(model.memory ? { memory: model.memory } : {}),
    },
    deltas: [sourceOf(model, track, ownImage).delta].filter((d) => d !== null),
    weights: [model.weights, model.delta?.uri ?? '', model.canary?.weights ?? '', model.canary?.delta?.uri ?? ''],
    template: model.template,
  };
}

/** A replica of a group of models, each with a server and a port of its own. `gpuMemoryGiB` = of one of the pool's GPUs. */
export function groupContainer({ spec }: VicunaServing, group: SharedGroup, gpuMemoryGiB: number, ownImage: string): EngineContainer {
  const models = spec.models.filter((m) => group.models.includes(m.name));
  const servers = models.map((model, i) => {
    const port = ENGINE_PORT + i;
    return { model, port, ...engineCommand(model, 'stable', ownImage, { port, gpuMemoryGiB, ...group }) };
  });
  const [first] = servers;
  return {
    name: group.name,
    labels: Object.fromEntries(models.map((m) => [HOLDS_PREFIX + m.name, 'true'])),
    image: first?.image ?? null,
    command: ['python3', '-c', GROUP_LAUNCHER],
    args: servers.map(({ command, args }) => JSON.stringify([...(command ?? []), ...args])),
    env: first?.env ?? {},
    ports: servers.map(({ model, port }) => ({ name: modelPortName(model.name), containerPort: port })),
    health: { exec: { command: ['python3', '-c', GROUP_HEALTH, ...servers.map((s) => String(s.port))] } },
    gpus: group.pipeline * group.tensor,
    requests: {},
    deltas: models.flatMap((m) => sourceOf(m, 'stable', ownImage).delta ?? []),
    weights: models.flatMap((m) => [m.weights, m.delta?.uri ?? '']),
    template: spec.multiplexing?.template,
  };
}
