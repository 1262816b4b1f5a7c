import type { KubeClient } from '../../kube/client.ts';
import { SECRET } from '../../kube/types.ts';

/** Value of the Authorization header for a Prometheus, or null. `field` = where the spec names it. Throws if its Secret has no token. */
export async function prometheusAuthorization(
  client: Pick<KubeClient, 'get'>,
  namespace: string,
  { secret: reference }: { readonly secret?: { readonly name: string } | undefined },
  field: string,
): Promise<string | null> {
  if (!reference) return null;
  const secret = await client.get(SECRET, namespace, reference.name).catch(() => null);
  const token = secret?.data?.token;
  if (token === undefined) throw new Error(`Secret "${reference.name}" of ${field} has no key token in namespace ${namespace}`);
  return `Bearer ${Buffer.from(token, 'base64').toString('utf8').trim()}`;
}
