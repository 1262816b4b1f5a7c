// A stack's settings: Pulumi's configuration, checked at once and as a whole before anything is made.
import * as pulumi from '@pulumi/pulumi';
import { z } from 'zod';

export const NAME = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/, 'use at most 20 small letters, digits and "-", beginning with a letter')
  .default('vicuna')
  .describe('name before everything that is made.');

const cidr = z.cidrv4('write a range of addresses as 203.0.113.0/24, or one address as 203.0.113.7/32');

/** Who reaches the Kubernetes API from outside. It is never the whole world. */
export const API_ACCESS = z
  .array(
    cidr.refine(
      (range) => !range.endsWith('/0'),
      'the Kubernetes API must not be open to the whole internet: name the addresses of your office or VPN',
    ),
  )
  .min(1, 'name at least the address that you run pulumi from')
  .describe('apiAccess: ranges of addresses that may reach the Kubernetes API.');

export const EMAILS = z.array(z.email('is no e-mail address')).min(1, 'name who is told when the budget is used up');

/** US dollars per month, whole. */
export const MONTHLY_DOLLARS = z.int().min(1, 'a budget of nothing warns always: give whole US dollars per month').max(100_000_000);

export const HOST = z
  .string()
  .max(253)
  .regex(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$/, 'write a host name such as chat.example.org');

/** The public name of a serving's gateway, and who may use it. The serving is in the workloads' namespace. */
export const GATEWAY = z.strictObject({
  host: HOST,
  serving: z.string().min(1).max(63),
  allow: z.array(cidr).min(1).default(['0.0.0.0/0']),
});

/** What the in-cluster half takes besides what the cloud's half gives it. */
export const OPERATOR = z
  .strictObject({
    /** Registry and tag of the project's images; by default those of the chart. */
    registry: z.string().min(1).optional(),
    tag: z.string().min(1).optional(),
    replicas: z.int().min(1).max(10).default(2),
    /** Whether the Prometheus operator is there, so that monitors and alert rules are of use. */
    monitoring: z.boolean().default(false),
  })
  .prefault({});

export const WORKLOAD_NAMESPACE = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'is no name of a namespace')
  .default('vicuna')
  .describe('workloadNamespace: namespace for trainings, servings and their accounts.');

/** Settings that are secrets. They are not among the others, so that no message ever shows one. */
export interface Secrets {
  /** Token of Hugging Face, for base models that ask for one. */
  readonly huggingFaceToken: pulumi.Output<string> | undefined;
}

export const SECRETS = ['huggingFaceToken'] as const;

/**
 * Reads the settings of the current stack. Throws a RunError, which Pulumi shows without a stack trace, with one line for every wrong
 * setting: which, what is wrong, what to do.
 */
export function readSettings<S extends z.ZodObject>(schema: S): z.output<S> & Secrets {
  const project = pulumi.getProject();
  const config = new pulumi.Config();
  const shape = schema.shape as Record<string, z.ZodType>;
  const problems: string[] = [];
  const prefix = `${project}:`;
  const known = [...Object.keys(shape), ...SECRETS];
  for (const key of Object.keys(pulumi.runtime.allConfig())) {
    const name = key.startsWith(prefix) ? key.slice(prefix.length) : null;
    if (name !== null && !known.includes(name)) problems.push(`${key}: there is no such setting; there are ${known.join(', ')}`);
  }
  const raw: Record<string, unknown> = {};
  for (const [key, type] of Object.entries(shape)) {
    const text = config.get(key);
    if (text !== undefined) raw[key] = parse(text, type);
  }
  const result = schema.safeParse(raw);
  if (!result.success) problems.push(...result.error.issues.map((issue) => `${prefix}${path(issue.path)}: ${said(issue, raw)}`));
  if (problems.length > 0 || !result.success)
    throw new pulumi.RunError(
      `The settings of stack ${pulumi.getStack()} cannot be used (Pulumi.${pulumi.getStack()}.yaml, or pulumi config set):\n${problems.map((p) => `  ${p}`).join('\n')}`,
    );
  return { ...result.data, huggingFaceToken: config.getSecret('huggingFaceToken') };
}

/** Pulumi keeps everything as text: what is no text by its type is JSON. */
function parse(text: string, type: z.ZodType): unknown {
  if (type.safeParse(text).success) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function said(issue: z.core.$ZodIssue, raw: unknown): string {
  const missing = issue.path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], raw) === undefined;
  return missing && issue.code === 'invalid_type' ? `is missing (${issue.expected})` : issue.message;
}

function path(keys: readonly PropertyKey[]): string {
  return keys.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`)).join('');
}
