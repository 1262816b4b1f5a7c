import { z } from 'zod';
import { poolsSchema } from '../shared/pools.ts';
import { API_ACCESS, EMAILS, GATEWAY, HOST, MONTHLY_DOLLARS, NAME, OPERATOR, WORKLOAD_NAMESPACE } from '../shared/settings.ts';

/** Settings of AWS alone; the stack `multi` has them below `aws`. */
export const AWS = z.strictObject({
  region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'is no region of AWS: write it as us-west-2'),
  zones: z
    .array(z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d[a-z]$/, 'is no zone of AWS: write it as us-west-2a'))
    .min(2, 'EKS needs two zones at least')
    .max(6),
  kubernetesVersion: z
    .string()
    .regex(/^1\.\d{2}$/, 'write the version in quotes, as "1.35"')
    .default('1.35'),
  pools: poolsSchema('aws'),
  budget: z.strictObject({ monthly: MONTHLY_DOLLARS, emails: EMAILS }),
  /** Names under which the outside reaches it; the zone must be hosted by Route 53 in this account. */
  endpoints: z.strictObject({ hostedZone: HOST, gateway: GATEWAY }).optional(),
});

export type AwsSettings = z.output<typeof AWS>;

/** Refuses zones of another region, pools in zones that the network lacks, and host names outside the hosted zone. */
export function checkAws(aws: AwsSettings, context: z.RefinementCtx, at: readonly string[] = []): void {
  const complain = (path: PropertyKey[], message: string) => context.addIssue({ code: 'custom', path: [...at, ...path], message });
  aws.zones.forEach((zone, i) => {
    if (!zone.startsWith(aws.region)) complain(['zones', i], `${zone} is not in region ${aws.region}`);
  });
  aws.pools.forEach((pool, i) => {
    for (const zone of pool.zones)
      if (!aws.zones.includes(zone)) complain(['pools', i, 'zones'], `there is no subnet in ${zone}: add it to zones, or leave it out`);
  });
  const { endpoints } = aws;
  if (endpoints !== undefined && !endpoints.gateway.host.endsWith(`.${endpoints.hostedZone}`))
    complain(['endpoints', 'gateway', 'host'], `${endpoints.gateway.host} is not below the hosted zone ${endpoints.hostedZone}`);
}

/** Settings of the stack `aws`. */
export const AWS_STACK = AWS.extend({
  name: NAME,
  apiAccess: API_ACCESS,
  operator: OPERATOR,
  workloadNamespace: WORKLOAD_NAMESPACE,
}).superRefine((settings, context) => checkAws(settings, context));
