import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLEANING_RULES, datasetWithDefaults, type VicunaDataset } from '../api/vicuna-dataset.ts';
import { datasetConfig, datasetKind } from './kind.ts';

const dataset = (spec: object = {}) =>
  datasetWithDefaults({
    metadata: { name: 'chats' },
    spec: { sources: [{ uri: 'pvc://raw/sharegpt.json' }], tokenizer: 's3://models/llama', output: 's3://data/chats', ...spec },
  } as unknown as VicunaDataset);
const kind = datasetKind('data:default');

const RESULT = {
  train: { uri: 's3://data/chats/train', conversations: 60, pieces: 80, tokens: 9_000 },
  validation: { uri: 's3://data/chats/validation', conversations: 2, pieces: 2, tokens: 90 },
  read: 70,
  kept: 62,
  rejected: { tooShort: 5, languages: 3 },
  edited: { html: 40 },
  identity: 0,
  card: 's3://data/chats/card.md',
};

describe('a dataset', () => {
  it('knows the rules that its program has', () => {
    const source = readFileSync(join(import.meta.dirname, '../../workloads/data/vicuna_data/rules.py'), 'utf8');
    const names = [...source.matchAll(/Rule\(\s*"(\w+)", (?:True|False)/g)].map(([, name]) => name);
    expect(names).toEqual([...CLEANING_RULES]);
  });

  it('tells its program all that decides the output, with claims as paths', () => {
    expect(datasetConfig(dataset({ identity: { name: 'Vicuna', organization: 'LMSYS' } }).spec)).toEqual({
      sources: [{ uri: 'file:///mnt/claims/raw/sharegpt.json', format: 'auto' }],
      tokenizer: 's3://models/llama',
      clean: { repetition: true, nearDuplicates: { threshold: 0.8 }, forbiddenPhrases: ['openai', 'chatgpt'], disabledRules: [] },
      filters: {},
      split: { maxTokens: 2_048, longRounds: 'cut', template: 'vicuna_v1.1' },
      identity: { name: 'Vicuna', organization: 'LMSYS' },
      validationFraction: 0.01,
      seed: 0,
      output: 's3://data/chats',
    });
  });

  it('runs the image of its spec, or the operator’s', () => {
    expect(kind.program(dataset()).image).toBe('data:default');
    expect(kind.program(dataset({ image: 'mine' })).image).toBe('mine');
    expect(kind.program(dataset()).uris).toContain('pvc://raw/sharegpt.json');
  });

  it('keeps what was counted', () => {
    expect(kind.conclude(dataset(), JSON.stringify(RESULT))).toEqual({
      status: { result: { ...RESULT, rejectedTotal: 8 } },
      problem: null,
    });
  });

  it('has figures for the metrics once it is there', () => {
    const object = dataset();
    expect(kind.results(object)).toEqual([]);
    object.status = kind.conclude(object, JSON.stringify(RESULT)).status;
    expect(kind.results(object)).toEqual([
      { metric: 'datasetRecords', labels: { outcome: 'kept' }, value: RESULT.kept },
      { metric: 'datasetRecords', labels: { outcome: 'rejected' }, value: 8 },
    ]);
  });

  it.each(['', 'done', '{}', JSON.stringify({ ...RESULT, kept: -1 }), JSON.stringify({ ...RESULT, train: null })])(
    'is not taken for complete with the result %s',
    (text) => {
      expect(kind.conclude(dataset(), text)).toMatchObject({ status: {}, problem: { reason: 'ResultUnreadable' } });
    },
  );
});
