import { isNotFound, type KubeClient } from '../kube/client.ts';
import { SECRET } from '../kube/types.ts';
import type { Problem } from './state.ts';

/** A Secret that is not there, in one sentence, or null. */
export async function missingSecret(
  client: KubeClient,
  namespace: string,
  secrets: readonly { readonly field: string; readonly name: string }[],
): Promise<Problem | null> {
  for (const { field, name } of secrets) {
    try {
      await client.get(SECRET, namespace, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const message = `${field}: Secret "${name}" does not exist in namespace ${namespace}: create it, and what waits for it starts by itself`;
      return { reason: 'MissingSecret', message };
    }
  }
  return null;
}
