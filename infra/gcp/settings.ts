import { z } from 'zod';
import { poolsSchema } from '../shared/pools.ts';
import { API_ACCESS, EMAILS, GATEWAY, MONTHLY_DOLLARS, NAME, OPERATOR, WORKLOAD_NAMESPACE } from '../shared/settings.ts';

/** Settings of Google Cloud alone; the stack `multi` has them below `gcp`. */
export const GCP = z.strictObject({
  project: z.string().regex(/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, 'is no id of a project'),
  region: z.string().regex(/^[a-z]+-[a-z]+\d+$/, 'is no region of Google Cloud: write it as us-central1'),
  zones: z
    .array(z.string().regex(/^[a-z]+-[a-z]+\d+-[a-z]$/, 'is no zone of Google Cloud: write it as us-central1-a'))
    .min(1)
    .max(6),
  pools: poolsSchema('gcp'),
  budget: z.strictObject({
    billingAccount: z
      .string()
      .regex(/^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$/, 'is no billing account: gcloud billing accounts list shows it'),
    monthly: MONTHLY_DOLLARS,
    emails: EMAILS,
  }),
  /** Names under which the outside reaches it; the managed zone must be in this project's Cloud DNS. */
  endpoints: z.strictObject({ managedZone: z.string().min(1), gateway: GATEWAY }).optional(),
});

export type GcpSettings = z.output<typeof GCP>;

/** Refuses zones of another region and pools in zones that the cluster lacks. */
export function checkGcp(gcp: GcpSettings, context: z.RefinementCtx, at: readonly string[] = []): void {
  const complain = (path: PropertyKey[], message: string) => context.addIssue({ code: 'custom', path: [...at, ...path], message });
  gcp.zones.forEach((zone, i) => {
    if (!zone.startsWith(`${gcp.region}-`)) complain(['zones', i], `${zone} is not in region ${gcp.region}`);
  });
  gcp.pools.forEach((pool, i) => {
    for (const zone of pool.zones)
      if (!gcp.zones.includes(zone)) complain(['pools', i, 'zones'], `the cluster is not in ${zone}: add it to zones, or leave it out`);
  });
}

/** Settings of the stack `gcp`. */
export const GCP_STACK = GCP.extend({
  name: NAME,
  apiAccess: API_ACCESS,
  operator: OPERATOR,
  workloadNamespace: WORKLOAD_NAMESPACE,
}).superRefine((settings, context) => checkGcp(settings, context));
