import { basename } from 'node:path';
import { AWS_STACK } from '../../../infra/aws/settings.ts';
import { GCP_STACK } from '../../../infra/gcp/settings.ts';
import { MULTI_STACK } from '../../../infra/multi/settings.ts';
import { SECRETS } from '../../../infra/shared/settings.ts';
import { parsed, type Rule, type Verdict } from './rule.ts';

const STACKS: Readonly<Record<string, { readonly shape: object }>> = { aws: AWS_STACK, gcp: GCP_STACK, multi: MULTI_STACK };

/** Settings are compared with those that the stack reads; everything else needs a cloud. */
export const pulumi: Rule = ([command, subcommand, ...args], { directory }): Verdict => {
  if (command !== 'config' || subcommand !== 'set') return null;
  const stack = STACKS[basename(directory)];
  if (stack === undefined) return [`pulumi config set runs in no stack's directory: cd infra/${Object.keys(STACKS).join('|')} first`];
  const result = parsed(args, { secret: { type: 'boolean' }, path: { type: 'boolean' } });
  if ('problem' in result) return [`pulumi config set: ${result.problem}`];
  const [key = ''] = (result.positionals[0] ?? '').split(/[.[]/);
  const secret = (SECRETS as readonly string[]).includes(key);
  if (!secret && !Object.hasOwn(stack.shape, key)) return [`the stack ${basename(directory)} has no setting ${key}`];
  return secret && result.values.secret !== true ? [`${key} is a secret: set it with --secret`] : [];
};
