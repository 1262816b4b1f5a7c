import { setTimeout as delay } from 'node:timers/promises';
import type { ResourceType } from '../types.ts';

/** A kind for tests. */
export interface Thing {
  apiVersion?: string;
  kind?: string;
  metadata: { name: string; namespace?: string; uid?: string; resourceVersion?: string; labels?: Record<string, string> };
  spec?: { value?: number | string };
  status?: { seen?: number };
}

export const THING: ResourceType<Thing> = { group: 'test.vicuna.run', version: 'v1', kind: 'Thing', plural: 'things', namespaced: true };

export function thing(name: string, value: number | string = 0): Thing {
  return { metadata: { name, namespace: 'default' }, spec: { value } };
}

/** Resolves as soon as the condition holds. */
export async function until(what: string, condition: () => boolean, limitMs = 4_500): Promise<void> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(1);
  }
}
