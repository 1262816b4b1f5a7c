import { z } from 'zod';
import type { ResourceType } from '../kube/types.ts';
import { structuralSchema } from './crd.ts';
import { defaultsOf } from './defaults.ts';
import { SOURCE_URI, STORAGE_URI } from './forms.ts';
import { API_VERSION, type Form, fixed, formed, GROUP, immutable, type ObjectMeta, type Rule, VERSION } from './meta.ts';
import { MAX_TASK_NAME, taskFields, taskStatusFields, ttlAfterFinished } from './task.ts';

/** Cleaning rules by name (workloads/data/vicuna_data/rules.py), in the order in which they are tried. */
export const CLEANING_RULES = [
  'tooShort',
  'leadingAnswer',
  'trailingQuestion',
  'roles',
  'forbiddenPhrases',
  'html',
  'codeFences',
  'pageNumbers',
  'copyCounts',
  'emptyCodeFences',
  'blankLines',
  'rateLimit',
  'emptyMessage',
  'plugins',
  'languages',
  'repetition',
  'restartedList',
  'quality',
  'safety',
  'duplicateId',
  'duplicateStart',
  'nearDuplicates',
] as const;

const LANGUAGE: Form = {
  pattern: /^[a-z]{2,3}(-[A-Za-z]{2,4})?$/,
  maxLength: 8,
  sentence: 'no language code: write it as ISO 639-1 has it, such as en, or un for unknown',
};

const languageList = (description: string) =>
  z
    .array(formed(LANGUAGE, 'code of a language.'))
    .min(1)
    .max(128)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'set' })
    .describe(description);

const phrases = (description: string, byDefault: string[]) =>
  z.array(z.string().min(1).max(256)).max(256).default(byDefault).meta({ 'x-kubernetes-list-type': 'atomic' }).describe(description);

const source = z
  .strictObject({
    uri: formed(SOURCE_URI, 'uri of a file (.json, .jsonl) or a directory of such.'),
    format: z
      .enum(['auto', 'sharegpt'])
      .default('auto')
      .describe(
        'format of the records; sharegpt takes every message for HTML, auto looks at it, and reads records with messages too. Default: auto.',
      ),
    license: z.string().min(1).max(256).optional().describe('license of the source, for the data card. Default: unknown.'),
  })
  .describe('source of conversations.');

const clean = z
  .strictObject({
    languages: z
      .strictObject({
        keep: languageList('keep conversations in these languages only. Default: none, and skip is used.'),
        skip: languageList('skip conversations in these languages. Default: none, and keep is used.'),
      })
      .optional()
      .describe('languages that stay, or that go. Default: all stay.')
      .meta({
        'x-kubernetes-validations': [
          { rule: 'has(self.keep) != has(self.skip)', message: 'languages are kept or skipped: give either keep or skip' },
        ],
      }),
    repetition: z
      .boolean()
      .default(true)
      .describe('repetition: set messages aside that have the same digit nine times in a row. Default: true.'),
    nearDuplicates: z
      .strictObject({
        threshold: z
          .number()
          .min(0.5)
          .max(1)
          .default(0.8)
          .describe('threshold: share of five-word sequences in common (Jaccard) from which on two are nearly the same. Default: 0.8.'),
      })
      .prefault({})
      .describe('nearDuplicates: set conversations aside that are nearly the same as an earlier one.'),
    forbiddenPhrases: phrases(
      'forbiddenPhrases: a conversation with one of them, in any case, is set aside. Default: openai and chatgpt.',
      ['openai', 'chatgpt'],
    ),
    disabledRules: z
      .array(z.enum(CLEANING_RULES))
      .max(CLEANING_RULES.length)
      .default([])
      .meta({ 'x-kubernetes-list-type': 'set' })
      .describe('disabledRules are not applied. Default: none.'),
  })
  .prefault({})
  .describe('clean: which conversations stay, and what is mended in them. Immutable.')
  .meta({ 'x-kubernetes-validations': [immutable('spec.clean')] });

const filters = z
  .strictObject({
    quality: z
      .strictObject({
        minAnswerWords: z.int().min(0).max(1_000).default(3).describe('minAnswerWords that the answers have on average. Default: 3.'),
        maxRepeatedLines: z
          .number()
          .min(0)
          .max(1)
          .default(0.3)
          .describe('maxRepeatedLines: share of the answers’ lines that may repeat an earlier one. Default: 0.3.'),
      })
      .optional()
      .describe('quality that answers must have. Default: not looked at.'),
    safety: z
      .strictObject({
        personalData: z
          .boolean()
          .default(true)
          .describe('personalData: set aside what has e-mail addresses, payment cards, keys or passwords of programs. Default: true.'),
        phrases: phrases('phrases: set aside what has one of them, in any case, as whole words. Default: none.', []),
      })
      .optional()
      .describe('safety: what a model should not learn. Default: not looked at.'),
  })
  .prefault({})
  .describe('filters that are off unless they are named. Immutable.')
  .meta({ 'x-kubernetes-validations': [immutable('spec.filters')] });

const split = z
  .strictObject({
    maxTokens: z.int().min(64).max(1_048_576).default(2_048).describe('maxTokens of one piece, in tokens. Default: 2048.'),
    longRounds: z
      .enum(['cut', 'drop'])
      .default('cut')
      .describe('longRounds: a question with its answer that is too long for one piece is cut, or set aside. Default: cut.'),
    template: z
      .enum(['vicuna_v1.1', 'vicuna_v0'])
      .default('vicuna_v1.1')
      .describe('template of conversations by which tokens are counted. Default: vicuna_v1.1.'),
  })
  .prefault({})
  .describe('split of long conversations, between rounds. Immutable.')
  .meta({ 'x-kubernetes-validations': [immutable('spec.split')] });

const spec = z
  .strictObject({
    sources: z
      .array(source)
      .min(1)
      .max(100)
      .meta({ 'x-kubernetes-list-type': 'atomic', 'x-kubernetes-validations': [immutable('spec.sources')] })
      .describe('sources of conversations. Immutable.'),
    tokenizer: formed(SOURCE_URI, 'tokenizer of the model to be trained: its directory. Immutable.', [immutable('spec.tokenizer')]),
    clean,
    filters,
    split,
    identity: z
      .strictObject({
        name: z.string().min(1).max(256).describe('name of the model.'),
        organization: z.string().min(1).max(256).describe('organization that made it.'),
      })
      .optional()
      .describe('identity that the model shall say it has; questions for it are mixed in. Default: none. Immutable.'),
    validationFraction: z
      .number()
      .min(0)
      .max(1)
      .default(0.01)
      .describe('validationFraction: share of the conversations that are kept for validation. Default: 0.01. Immutable.')
      .meta({
        'x-kubernetes-validations': [
          { rule: 'self <= 0.5', message: 'leaves less than half of the conversations to learn from: give at most 0.5' },
          immutable('spec.validationFraction'),
        ],
      }),
    seed: z
      .int()
      .min(0)
      .max(2_147_483_647)
      .default(0)
      .describe('seed of what is left to chance. Default: 0. Immutable.')
      .meta({ 'x-kubernetes-validations': [immutable('spec.seed')] }),
    output: formed(
      STORAGE_URI,
      'output directory: s3://, pvc:// or file://; what lies there of the same dataset is not made again. Immutable.',
      [immutable('spec.output')],
    ),
    ...taskFields('dataset’s pod', 'the one of this operator’s version'),
    ttlAfterFinished: ttlAfterFinished('dataset'),
  })
  .describe('spec: what to make of which conversations, and how to run it.')
  .meta({ 'x-kubernetes-validations': fixed('identity') });

const part = (name: string) =>
  z
    .object({
      uri: z.string().max(1_024).describe('uri of the directory.'),
      conversations: z.int().min(0).describe('conversations in it.'),
      pieces: z.int().min(0).describe('pieces that they were split into.'),
      tokens: z.int().min(0).describe('tokens of all pieces.'),
    })
    .describe(`${name}: what lies where.`);

const reasons = (description: string) => z.record(z.string().max(63), z.int().min(0)).meta({ maxProperties: 64 }).describe(description);

/** What the program says at its end (workloads/data/vicuna_data/config.py). */
export const datasetResultSchema = z.object({
  train: part('train'),
  validation: part('validation').optional(),
  read: z.int().min(0).describe('read records of the sources.'),
  kept: z.int().min(0).describe('kept of them, in train or validation.'),
  rejected: reasons('rejected records, set aside by reason; read is kept and the sum of these.'),
  edited: reasons('edited conversations, by the rule that changed them.'),
  identity: z.int().min(0).optional().describe('identity conversations that were mixed in.'),
  card: z.string().max(1_024).describe('card: uri of the data card.'),
});

const status = z
  .object({
    ...taskStatusFields,
    result: datasetResultSchema
      .extend({ rejectedTotal: z.int().min(0).describe('rejectedTotal of all reasons.') })
      .optional()
      .describe('result of a complete dataset.'),
  })
  .describe('status: what the operator knows of the dataset.');

export const vicunaDatasetSchema = z.object({ spec, status: status.optional() });

export const datasetRules: readonly Rule[] = [taskNameRule()];

export function taskNameRule(): Rule {
  return {
    rule: `self.metadata.name.size() <= ${MAX_TASK_NAME}`,
    message: `metadata.name is part of pod names: use at most ${MAX_TASK_NAME} characters`,
  };
}

export type VicunaDatasetStatus = z.output<typeof status>;

export interface VicunaDataset {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec: z.output<typeof spec>;
  status?: VicunaDatasetStatus;
}

export const DATASET: ResourceType<VicunaDataset> = {
  group: GROUP,
  version: VERSION,
  kind: 'VicunaDataset',
  plural: 'vicunadatasets',
  namespaced: true,
};

const withSpecDefaults = defaultsOf(() => structuralSchema(spec));

/** Fills in defaults, for objects older than a default. It refuses nothing. */
export function datasetWithDefaults(dataset: VicunaDataset): VicunaDataset {
  return {
    ...dataset,
    apiVersion: API_VERSION,
    kind: 'VicunaDataset',
    spec: withSpecDefaults(dataset.spec) as VicunaDataset['spec'],
  };
}
