import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import type { KubeObject, ResourceType } from '../../operator/kube/types.ts';
import { UsageError } from './command.ts';

export type ObjectKind = 'training' | 'serving' | 'dataset' | 'evaluation' | 'pool';

interface NamedKind {
  readonly kind: ObjectKind;
  /** What it may be called; the first is what kubectl abbreviates it to. */
  readonly names: readonly [string, ...string[]];
  readonly type: ResourceType<KubeObject>;
}

export const KINDS: readonly NamedKind[] = [
  { kind: 'training', names: ['vt', 'vicunatraining', 'vicunatrainings', 'training', 'run'], type: TRAINING },
  { kind: 'serving', names: ['vs', 'vicunaserving', 'vicunaservings', 'serving'], type: SERVING },
  { kind: 'dataset', names: ['vd', 'vicunadataset', 'vicunadatasets', 'dataset'], type: DATASET },
  { kind: 'evaluation', names: ['ve', 'vicunaevaluation', 'vicunaevaluations', 'evaluation'], type: EVALUATION },
  { kind: 'pool', names: ['gp', 'gpupool', 'gpupools', 'pool'], type: GPU_POOL },
];

/** The kind of that name, in any case and with or without its group. */
export function kindCalled(word: string): NamedKind | undefined {
  const name = word.toLowerCase().replace(/\.vicuna\.run$/, '');
  return KINDS.find(({ names }) => names.includes(name));
}

/** KIND/NAME or KIND NAME, as for kubectl. */
export function objectNamed(positionals: readonly string[]): { kind: ObjectKind; name: string } {
  const parts = positionals.flatMap((p) => p.split('/'));
  const [word = '', name = ''] = parts;
  if (parts.length !== 2 || name === '')
    throw new UsageError('say which object: KIND/NAME, such as vt/vicuna-13b, vs/chat, vd/sharegpt, ve/vicuna-80 or gp/aws-us-east-1a');
  const found = kindCalled(word);
  if (found === undefined) {
    const known = KINDS.map(({ names: [short], kind }) => `${short} (${kind})`);
    throw new UsageError(`"${word}" is no kind of Vicuna: use ${known.slice(0, -1).join(', ')} or ${known.at(-1)}`);
  }
  return { kind: found.kind, name };
}
