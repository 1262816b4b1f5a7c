import { z } from 'zod';
import type { ResourceType } from '../kube/types.ts';
import { structuralSchema } from './crd.ts';
import { defaultsOf } from './defaults.ts';
import { HTTP_URL } from './forms.ts';
import { MAX_BASELINES } from './judge-result.ts';
import {
  API_VERSION,
  DNS_NAME,
  dollars,
  duration,
  type Form,
  fixed,
  formed,
  GROUP,
  immutable,
  type ObjectMeta,
  type Rule,
  VERSION,
} from './meta.ts';
import { taskFields, taskStatusFields, ttlAfterFinished } from './task.ts';
import { taskNameRule } from './vicuna-dataset.ts';

const CANDIDATE_NAME: Form = {
  pattern: /^[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?$/,
  maxLength: 63,
  sentence: 'no name of a model: use letters, digits, "-", "_", "." and ":", such as vicuna-13b',
};

const FILE_URI: Form = {
  pattern: /^((s3|pvc):\/\/[^/\s]+\/\S+|file:\/\/\/\S+)$/,
  maxLength: 1_000,
  sentence: 'no URI of a file: write s3://bucket/path, pvc://claim/path or file:///path',
};

const OUTPUT_URI: Form = {
  pattern: /^((s3|pvc):\/\/[^/\s]+(\/\S*)?|file:\/\/\/\S*)$/,
  maxLength: 380,
  sentence: 'no place to keep files: write s3://bucket/path, pvc://claim/path or file:///directory (a gs:// bucket by its S3 interface)',
};

const SECRET_KEY: Form = {
  pattern: /^[-._A-Za-z0-9]+$/,
  maxLength: 253,
  sentence: 'no key of a Secret: use letters, digits, "-", "_" and "."',
};

const secret = z
  .strictObject({
    name: formed(DNS_NAME, 'name of a Secret in the same namespace.'),
    key: formed(SECRET_KEY, 'key in the Secret that has the API key. Default: token.').default('token'),
  })
  .optional()
  .describe('secret with the API key that is sent as a bearer token. Default: none.');

const requests = {
  secret,
  requestsPerMinute: z.int().min(1).max(1_000_000).optional().describe('requestsPerMinute at most. Default: no limit.'),
  concurrency: z.int().min(1).max(256).default(4).describe('concurrency: requests under way at once. Default: 4.'),
  timeout: duration('timeout of one answer. Default: 5m.').default('5m'),
};

const temperature = (byDefault: string) => z.number().min(0).max(2).optional().describe(`temperature to ask for. Default: ${byDefault}.`);

const answering = {
  ...requests,
  temperature: temperature('by category, as MT-bench has it'),
  maxTokens: z.int().min(1).max(65_536).default(1_024).describe('maxTokens of one answer, in tokens. Default: 1024.'),
};

const price = z
  .strictObject({
    input: dollars('input tokens, in US dollars a million.'),
    output: dollars('output tokens, in US dollars a million.'),
  })
  .optional()
  .describe('price of the server, in US dollars. Default: unknown; its costs are not counted.');

const remoteModel = z.string().min(1).max(253);

/** A model whose answers are compared. */
const contestant = (description: string, more: readonly Rule[] = []) =>
  z
    .strictObject({
      name: formed(CANDIDATE_NAME, 'name of the model in results and on the page.'),
      serving: z
        .strictObject({
          name: formed(DNS_NAME, 'name of a VicunaServing in the same namespace; the evaluation waits until it is ready.'),
          model: remoteModel.describe('model of that serving.'),
          ...answering,
        })
        .optional()
        .describe('serving that answers; its nodes are paid for by itself. Default: none.'),
      endpoint: z
        .strictObject({
          url: formed(HTTP_URL, 'url of OpenAI’s API there, such as https://api.openai.com/v1.'),
          model: remoteModel.describe('model to ask for.'),
          ...answering,
          price,
        })
        .optional()
        .describe('endpoint with OpenAI’s API that answers. Default: none.'),
      answers: formed(FILE_URI, 'answers that are there already: uri of a file of JSON lines. Default: none.').optional(),
    })
    .describe(description)
    .meta({
      'x-kubernetes-validations': [
        {
          rule: '[has(self.serving), has(self.endpoint), has(self.answers)].filter(x, x).size() == 1',
          message: 'answers must come from one place: give exactly one of serving, endpoint and answers',
        },
        ...more,
      ],
    });

const questions = z
  .strictObject({
    set: z
      .enum(['vicuna-80'])
      .optional()
      .describe('set of questions: vicuna-80 are the 80 of the Vicuna blog. Default: none, and uri is used.'),
    uri: formed(FILE_URI, 'uri of a file of JSON lines, MT-bench’s question.jsonl or alike. Default: none, and set is used.').optional(),
    limit: z.int().min(1).max(1_000_000).optional().describe('limit: only the first so many, for a cheap trial. Default: all.'),
  })
  .describe('questions to ask: exactly one of set and uri. Immutable.')
  .meta({
    'x-kubernetes-validations': [
      { rule: 'has(self.set) != has(self.uri)', message: 'questions come from one place: give either set or uri' },
      immutable('spec.questions'),
    ],
  });

const judge = z
  .strictObject({
    url: formed(HTTP_URL, 'url of OpenAI’s API at the judge, such as https://api.openai.com/v1.'),
    model: remoteModel.describe('model that judges, such as gpt-4.'),
    ...requests,
    price,
    temperature: temperature('0.2 with the blog’s prompts, 0 with MT-bench’s'),
    maxTokens: z
      .int()
      .min(1)
      .max(65_536)
      .optional()
      .describe('maxTokens of one review, in tokens. Default: 1024 with the blog’s prompts, 2048 with MT-bench’s.'),
  })
  .describe('judge of the answers. Immutable.')
  .meta({ 'x-kubernetes-validations': [immutable('spec.judge')] });

const spec = z
  .strictObject({
    questions,
    candidate: contestant('candidate that is compared with each baseline: exactly one of serving, endpoint and answers. Immutable.', [
      immutable('spec.candidate'),
    ]),
    baselines: z
      .array(contestant('baseline: exactly one of serving, endpoint and answers.'))
      .max(MAX_BASELINES)
      .default([])
      .meta({
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        'x-kubernetes-validations': [immutable('spec.baselines')],
      })
      .describe('baselines to compare with. Default: none, which only mode single allows. Immutable.'),
    judge,
    mode: z
      .enum(['pairwise', 'single'])
      .default('pairwise')
      .describe('mode: pairwise judges two answers at a time, single rates each alone. Default: pairwise. Immutable.')
      .meta({ 'x-kubernetes-validations': [immutable('spec.mode')] }),
    prompts: z
      .enum(['vicuna', 'mt-bench'])
      .optional()
      .describe('prompts of the judge: the Vicuna blog’s or MT-bench’s. Default: vicuna for pairwise, mt-bench for single. Immutable.'),
    bothOrders: z
      .boolean()
      .default(true)
      .describe(
        'bothOrders: judge each pair a second time with its answers swapped; a win counts when both agree. Default: true. Immutable.',
      )
      .meta({ 'x-kubernetes-validations': [immutable('spec.bothOrders')] }),
    budget: dollars(
      'budget for all requests together, in US dollars; it is never exceeded. It needs the price of the judge and of every endpoint. Default: no limit. Immutable.',
    ).optional(),
    output: formed(
      OUTPUT_URI,
      'output directory for answers, reviews, report and viewer page; what lies there is not paid for again. Immutable.',
      [immutable('spec.output')],
    ),
    ...taskFields('evaluation’s pod', 'the one of this operator’s version'),
    ttlAfterFinished: ttlAfterFinished('evaluation'),
  })
  .describe('spec: what to compare, who judges, and how to run it.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "(has(self.mode) && self.mode == 'single') || (has(self.baselines) && size(self.baselines) > 0)",
        message: 'there is nothing to compare with: give at least one of baselines, or mode single',
      },
      {
        rule: "!(has(self.mode) && self.mode == 'single' && has(self.prompts) && self.prompts == 'vicuna')",
        message: 'the blog’s prompts compare two answers: leave prompts out, or choose mode pairwise',
      },
      {
        rule: '!has(self.baselines) || self.baselines.all(b, b.name != self.candidate.name)',
        message: 'a baseline has the candidate’s name: give each model a name of its own',
      },
      {
        rule: '!has(self.budget) || (has(self.judge.price) && (!has(self.candidate.endpoint) || has(self.candidate.endpoint.price)) && (!has(self.baselines) || self.baselines.all(b, !has(b.endpoint) || has(b.endpoint.price))))',
        message:
          'a budget can only be kept where prices are known: give judge.price, and price of every endpoint, {input: "0", output: "0"} for a server of your own',
      },
      {
        rule: '!has(self.budget) || double(self.budget) > 0.0',
        message: 'a budget of nothing buys nothing: give more, or leave budget out',
        fieldPath: '.budget',
      },
      ...fixed('prompts', 'budget'),
    ],
  });

const interval = (what: string) =>
  z
    .object({ low: z.number().describe('low end.'), high: z.number().describe('high end.') })
    .optional()
    .describe(`${what} by bootstrap over the questions: the interval that has it with 95 % confidence.`);

const comparison = z
  .object({
    baseline: z.string().max(63).describe('baseline that the candidate was compared with.'),
    judged: z.int().min(0).describe('judged questions, which the figures are about.'),
    failed: z.int().min(0).describe('failed reviews: without a verdict that can be read, or without an answer.'),
    score: z.number().optional().describe('score of the candidate: the sum over all questions; none where the judge gives no scores.'),
    baselineScore: z.number().optional().describe('baselineScore: the same of the baseline.'),
    wins: z.int().min(0).describe('wins of the candidate.'),
    ties: z.int().min(0).describe('ties.'),
    losses: z.int().min(0).describe('losses of the candidate.'),
    winRate: z.number().optional().describe('winRate: wins and half of the ties, as a share of those judged.'),
    relativeQuality: z.number().optional().describe('relativeQuality: score divided by baselineScore.'),
    confidence: z
      .object({ winRate: interval('winRate'), relativeQuality: interval('relativeQuality') })
      .describe('confidence in the figures.'),
    orderAgreement: z.number().optional().describe('orderAgreement: share of the questions with the same verdict in both orders.'),
  })
  .describe('comparison with one baseline.');

const money = (description: string) => z.string().max(32).optional().describe(description);
const text = z.string().max(255);

const status = z
  .object({
    ...taskStatusFields,
    comparisons: z
      .array(comparison)
      .max(MAX_BASELINES)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['baseline'] })
      .describe('comparisons of the candidate with each baseline.'),
    candidateScore: z.number().optional().describe('candidateScore: mean over all that was judged, 1 to 10.'),
    summary: z
      .object({
        wins: text.describe('wins, one number for each baseline.'),
        ties: text.describe('ties, one number for each baseline.'),
        losses: text.describe('losses, one number for each baseline.'),
        quality: text.describe('quality relative to each baseline, in percent; of mode single the mean score.'),
      })
      .optional()
      .describe('summary of the comparisons, for printing.'),
    cost: z
      .object({
        estimated: money('estimated before the first request, in US dollars.'),
        answers: money('answers of endpoints, in US dollars.'),
        judge: money('judge: its reviews, in US dollars.'),
        compute: money('compute: the evaluation’s own pods, in US dollars.'),
        total: money('total of those that are known, in US dollars.'),
      })
      .optional()
      .describe('cost in US dollars; what has no known price is left out.'),
    report: z.string().max(1_024).optional().describe('report: uri of the results in JSON; in Markdown they lie beside it.'),
    viewer: z.string().max(1_024).optional().describe('viewer: uri of the page that shows questions, answers and reviews.'),
  })
  .describe('status: what the operator knows of the evaluation.');

export const vicunaEvaluationSchema = z.object({ spec, status: status.optional() });

export const evaluationRules: readonly Rule[] = [taskNameRule()];

export type VicunaEvaluationStatus = z.output<typeof status>;
export type Contestant = VicunaEvaluation['spec']['candidate'];

export interface VicunaEvaluation {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec: z.output<typeof spec>;
  status?: VicunaEvaluationStatus;
}

export const EVALUATION: ResourceType<VicunaEvaluation> = {
  group: GROUP,
  version: VERSION,
  kind: 'VicunaEvaluation',
  plural: 'vicunaevaluations',
  namespaced: true,
};

const withSpecDefaults = defaultsOf(() => structuralSchema(spec));

/** Fills in defaults, for objects older than a default. It refuses nothing. */
export function evaluationWithDefaults(evaluation: VicunaEvaluation): VicunaEvaluation {
  const full = withSpecDefaults(evaluation.spec) as VicunaEvaluation['spec'];
  return { ...evaluation, apiVersion: API_VERSION, kind: 'VicunaEvaluation', spec: full };
}
