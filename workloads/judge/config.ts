import { z } from 'zod';
import { MAX_BASELINES } from '../../operator/api/judge-result.ts';

// What one evaluation is asked to do. The operator writes it into a pod; on a command line it is a file.

/** Names become parts of paths and of links. */
const name = z
  .string()
  .max(63)
  .regex(/^[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?$/, 'no name: use letters, digits, "-", "_", "." and ":", such as vicuna-13b');

const readUri = z
  .string()
  .max(1_024)
  .regex(/^(s3:\/\/[^/\s]+\/\S+|file:\/\/\/\S+)$/, 'no URI of a file: write s3://bucket/path or file:///path');

const writeUri = z
  .string()
  .max(400)
  .regex(/^(s3:\/\/[^/\s]+(\/\S*)?|file:\/\/\/\S+)$/, 'no URI of a directory: write s3://bucket/prefix or file:///directory');

const environmentName = z
  .string()
  .max(128)
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'no name of an environment variable, such as OPENAI_API_KEY');

/** Dollars for a million tokens. */
const price = z.strictObject({ input: z.number().min(0).max(100_000), output: z.number().min(0).max(100_000) });

/** A server with OpenAI's chat completions. */
const server = {
  /** Base of the API, as OpenAI's clients take it: https://api.openai.com/v1. */
  url: z
    .string()
    .max(1_024)
    .regex(/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/, 'no URL: write it as https://host/v1, without user, query and fragment'),
  model: z.string().min(1).max(253),
  /** Environment variable that holds the API key; none is sent without it. */
  apiKeyEnv: environmentName.optional(),
  requestsPerMinute: z.number().positive().max(1_000_000).optional(),
  /** Requests under way at once. */
  concurrency: z.int().min(1).max(256).default(4),
  /** Until an answer is complete, seconds. */
  timeoutSeconds: z.number().positive().max(3_600).default(300),
  /** Without a price this server's tokens are counted, but not its costs. */
  price: price.optional(),
};

const temperature = z.number().min(0).max(2);
const maxTokens = z.int().min(1).max(65_536);

const endpoint = z.strictObject({
  ...server,
  /** Default: by category, as MT-bench does (0 for coding and maths, 0.7 for writing, …). */
  temperature: temperature.optional(),
  maxTokens: maxTokens.default(1_024),
  /** Tells the model's weights from others under the same name: answers of other weights are not taken for its own. */
  revision: z.string().max(64).optional(),
});

/** A model whose answers are compared: they are asked of a server, or lie in a file already. */
const model = z
  .strictObject({ name, endpoint: endpoint.optional(), answers: readUri.optional() })
  .refine((m) => (m.endpoint === undefined) !== (m.answers === undefined), 'give either endpoint or answers');

export const judgeTaskSchema = z
  .strictObject({
    questions: z
      .strictObject({
        /** vicuna-80: the blog's 80 questions. */
        set: z.enum(['vicuna-80']).optional(),
        /** JSON lines: {question_id, text | turns, category?, reference?}; MT-bench's question.jsonl is such a file. */
        uri: readUri.optional(),
        /** Only the first so many, for a cheap trial. */
        limit: z.int().min(1).optional(),
      })
      .refine((q) => (q.set === undefined) !== (q.uri === undefined), 'give either set or uri'),
    candidate: model,
    /** The candidate is compared with each. None only in mode single. */
    baselines: z.array(model).max(MAX_BASELINES).default([]),
    judge: z.strictObject({
      ...server,
      /** Default: 0.2 with the blog's prompts, 0 with MT-bench's, as they were used. */
      temperature: temperature.optional(),
      /** Default: 1,024 with the blog's prompts, 2,048 with MT-bench's. */
      maxTokens: maxTokens.optional(),
    }),
    /** pairwise: two answers in one request. single: each answer alone gets a rating. */
    mode: z.enum(['pairwise', 'single']).default('pairwise'),
    /** vicuna: two scores from 1 to 10 (pairwise only, questions of one turn); mt-bench: [[A]], [[B]], [[C]] or [[rating]]. */
    prompts: z.enum(['vicuna', 'mt-bench']).optional(),
    /** Each pair is judged a second time with its answers swapped; a win counts when both agree. */
    bothOrders: z.boolean().default(true),
    /** Dollars, all requests together; never exceeded: what comes next must fit at its largest. */
    budget: z.number().positive().max(1_000_000).optional(),
    /** Directory for everything that is written; what lies there already is not paid for again. */
    output: writeUri,
  })
  .superRefine((task, context) => {
    const complain = (path: readonly (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path: [...path], message });
    const models = [task.candidate, ...task.baselines];
    const names = models.map((m) => m.name);
    for (const [i, n] of names.entries())
      if (names.indexOf(n) !== i) complain(['baselines', i - 1, 'name'], `${n} is there twice: give each model its own name`);
    if (task.mode === 'pairwise' && task.baselines.length === 0)
      complain(['baselines'], 'none to compare with: give at least one, or mode: single');
    if (task.mode === 'single' && task.prompts === 'vicuna')
      complain(['prompts'], 'the blog’s prompts compare two answers: leave prompts out, or choose mode: pairwise');
    if (task.budget !== undefined) {
      if (task.judge.price === undefined) complain(['judge', 'price'], 'a budget needs the judge’s price');
      for (const [i, m] of models.entries())
        if (m.endpoint !== undefined && m.endpoint.price === undefined)
          complain(
            i === 0 ? ['candidate', 'endpoint', 'price'] : ['baselines', i - 1, 'endpoint', 'price'],
            'a budget needs the price of every endpoint; {input: 0, output: 0} for a server of your own',
          );
    }
  });

export type JudgeTask = z.output<typeof judgeTaskSchema>;
export type ModelSource = JudgeTask['candidate'];
export type Endpoint = z.output<typeof endpoint>;
export type Price = z.output<typeof price>;
export type Prompts = 'vicuna' | 'mt-bench';

/** Throws one sentence that says what is wrong where. */
export function parseJudgeTask(value: unknown): JudgeTask {
  const result = judgeTaskSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'the whole'}: ${issue.message}`);
  throw new Error(`the evaluation’s configuration is wrong: ${problems.join('; ')}`);
}

export const promptsOf = (task: JudgeTask): Prompts => task.prompts ?? (task.mode === 'single' ? 'mt-bench' : 'vicuna');
