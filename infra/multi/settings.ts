import { z } from 'zod';
import { AWS, checkAws } from '../aws/settings.ts';
import { checkGcp, GCP } from '../gcp/settings.ts';
import { API_ACCESS, GATEWAY, HOST, NAME, OPERATOR, WORKLOAD_NAMESPACE } from '../shared/settings.ts';

/** Settings of the stack `multi`: the operator and the bucket on AWS, pools on both. */
export const MULTI_STACK = z
  .strictObject({
    name: NAME,
    apiAccess: API_ACCESS,
    operator: OPERATOR,
    workloadNamespace: WORKLOAD_NAMESPACE,
    aws: AWS.omit({ endpoints: true }),
    gcp: GCP.omit({ endpoints: true }),
    endpoints: z.strictObject({
      /** Of Route 53, in the same account. */
      hostedZone: HOST,
      /** Under which Google's workers reach the operator. */
      workersHost: HOST,
      gateway: GATEWAY.optional(),
    }),
    /** US dollars that AWS bills for a GiB that leaves for the internet: what reading a checkpoint on Google's nodes costs. */
    egressPerGiB: z
      .string()
      .regex(/^\d{1,3}(\.\d{1,4})?$/, 'write US dollars as a quoted number, such as "0.09"')
      .default('0.09'),
  })
  .superRefine((settings, context) => {
    const { endpoints } = settings;
    checkAws(settings.aws, context, ['aws']);
    checkGcp(settings.gcp, context, ['gcp']);
    for (const [path, host] of [
      ['workersHost', endpoints.workersHost],
      ['gateway', endpoints.gateway?.host],
    ] as const)
      if (host !== undefined && !host.endsWith(`.${endpoints.hostedZone}`))
        context.addIssue({
          code: 'custom',
          path: ['endpoints', path],
          message: `${host} is not below the hosted zone ${endpoints.hostedZone}`,
        });
    if (endpoints.gateway?.host === endpoints.workersHost)
      context.addIssue({
        code: 'custom',
        path: ['endpoints', 'workersHost'],
        message: 'is the gateway’s name already: give the workers another',
      });
  });
