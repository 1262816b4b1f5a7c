// Objects for tests of the API: the examples, with changes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { VicunaDataset } from '../../operator/api/vicuna-dataset.ts';
import type { VicunaEvaluation } from '../../operator/api/vicuna-evaluation.ts';
import type { VicunaServing } from '../../operator/api/vicuna-serving.ts';
import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { ROOT } from '../cluster/paths.ts';

export type Path = readonly (string | number)[];

export const exampleFile = (name: string) => join(ROOT, 'examples', name);

const example = (name: string) => parse(readFileSync(exampleFile(name), 'utf8'));

/** The smallest example under another name, with changes at dotted paths; undefined removes. */
export function training(name: string, changes: Record<string, unknown> = {}, file = 'training.yaml'): VicunaTraining {
  return changed({ ...example(file), metadata: { name, namespace: 'default' } }, changes);
}

export function serving(name: string, changes: Record<string, unknown> = {}, file = 'serving.yaml'): VicunaServing {
  return changed({ ...example(file), metadata: { name, namespace: 'default' } }, changes);
}

export function dataset(name: string, changes: Record<string, unknown> = {}, file = 'dataset.yaml'): VicunaDataset {
  return changed({ ...example(file), metadata: { name, namespace: 'default' } }, changes);
}

export function evaluation(name: string, changes: Record<string, unknown> = {}, file = 'evaluation.yaml'): VicunaEvaluation {
  return changed({ ...example(file), metadata: { name, namespace: 'default' } }, changes);
}

export function gpuPool(name: string, changes: Record<string, unknown> = {}, file = 'gpupool-full.yaml'): GpuPool {
  return changed({ ...example(file), metadata: { name } }, changes);
}

function changed<T extends object>(object: T, changes: Record<string, unknown>): T {
  for (const [path, value] of Object.entries(changes)) setAt(object, path.split('.'), value);
  return object;
}

/** Sets the value at a path, making objects on the way; undefined removes it. */
export function setAt(object: object, [head = '', ...rest]: Path, value: unknown): void {
  const record = object as Record<string | number, unknown>;
  if (rest.length > 0) {
    record[head] ??= {};
    setAt(record[head] as object, rest, value);
  } else if (value === undefined) delete record[head];
  else record[head] = value;
}
