import { z } from 'zod';

// The gateway's configuration: written by the operator into a ConfigMap, or by hand into a file.

const name = z.string().min(1).max(253);
/** What answers for a model. How an answer is continued depends on it. */
export const ENGINE_NAMES = ['vllm', 'sglang', 'transformers', 'custom'] as const;
const seconds = z.number().positive().max(86_400);

export const gatewayConfigSchema = z.strictObject({
  /** "namespace/name"; workers are found by it in a cluster. */
  serving: name.optional(),
  models: z
    .array(
      z.strictObject({
        name,
        aliases: z.array(name).max(16).default([]),
        engine: z.enum(ENGINE_NAMES).default('custom'),
        canaryPercent: z.number().min(0).max(100).default(0),
        /** Lease to renew while requests wait and there is no worker. */
        demandLease: name.optional(),
      }),
    )
    .max(256)
    .default([]),
  /** Servers with OpenAI's API, besides those that are found. */
  workers: z
    .array(
      z.strictObject({
        url: z.url({ protocol: /^https?$/ }),
        models: z.array(name).min(1).max(256),
        keyFile: z.string().optional(),
        engine: z.enum(ENGINE_NAMES).default('custom'),
      }),
    )
    .max(1_024)
    .default([]),
  /** FastChat's protocol by which workers register themselves; the secret is asked for. */
  registration: z.strictObject({ secretFile: z.string() }).optional(),
  /** A directory with one API key a file: the key itself, or JSON with key and limits. */
  apiKeys: z.strictObject({ directory: z.string() }).optional(),
  moderation: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }),
      keyFile: z.string().optional(),
      model: name.optional(),
      on: z
        .array(z.enum(['input', 'output']))
        .min(1)
        .max(2),
      whenUnavailable: z.enum(['block', 'allow']),
      timeoutSeconds: seconds,
    })
    .optional(),
  limits: z
    .strictObject({
      bodyBytes: z.int().min(1_024).default(1_048_576),
      /** Until an answer is complete. */
      requestSeconds: seconds.default(600),
      /** Between two pieces of an answer. */
      idleSeconds: seconds.default(60),
      /** Until a request that waits has a worker. */
      queueSeconds: seconds.default(300),
      queueLength: z.int().min(0).default(1_000),
      maxTokens: z.int().min(1).optional(),
    })
    .prefault({}),
  /** An answer whose worker dies goes on at another one. */
  continuation: z.boolean().default(true),
  page: z.boolean().default(true),
  /** Copies of the gateway: each grants its share of a key's limits. */
  copies: z.int().min(1).default(1),
});

export type GatewayConfig = z.output<typeof gatewayConfigSchema>;
export type ModelConfig = GatewayConfig['models'][number];

/** The configuration in a JSON text; throws one sentence that says what is wrong where. */
export function parseGatewayConfig(text: string): GatewayConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`the gateway's configuration is no JSON: ${(error as Error).message}`);
  }
  const result = gatewayConfigSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'the whole'}: ${issue.message}`);
  throw new Error(`the gateway's configuration is wrong: ${problems.join('; ')}`);
}
