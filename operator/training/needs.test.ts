import { describe, expect, it } from 'vitest';
import type { VicunaDataset } from '../api/vicuna-dataset.ts';
import { datasetFor } from './needs.ts';
import { World } from './testing.ts';

const part = (uri: string) => ({ uri, conversations: 1, pieces: 1, tokens: 1 });
const dataset = (status: object) => ({ metadata: { name: 'chats' }, status }) as unknown as VicunaDataset;
const done = (uri = 's3://data/chats/train') =>
  dataset({ phase: 'Complete', result: { train: part(uri), validation: part('s3://data/chats/validation') } });
const USE = { name: 'chats', uri: 's3://data/chats/train', validationUri: 's3://data/chats/validation' };

const world = () => new World({ dataset: { name: 'chats' } });

describe('a training on a VicunaDataset', () => {
  it.each([
    [undefined, 'MissingDataset', 'does not exist in namespace default'],
    [dataset({}), 'DatasetNotReady', 'is not complete; the training starts by itself'],
    [
      dataset({ phase: 'Running', progress: { stage: 'split', display: '10/70', unit: 'conversations', eta: '40s' } }),
      'DatasetNotReady',
      'is not complete: split 10/70 conversations, about 40s left',
    ],
    [dataset({ phase: 'Failed', conditions: [{ type: 'Failed', message: 'no such file' }] }), 'DatasetFailed', 'has failed (no such file)'],
  ])('waits for it and says what for', (found, reason, words) => {
    expect(datasetFor(world().training, found)).toMatchObject({ use: null, problem: { reason, message: expect.stringContaining(words) } });
  });

  it('takes what it has made', () => {
    expect(datasetFor(world().training, done())).toEqual({ use: USE, problem: null });
  });

  it('keeps what it has begun with, whatever becomes of the dataset', () => {
    const w = world();
    w.training.status = { dataset: USE };
    for (const found of [undefined, done('s3://data/another'), dataset({ phase: 'Failed' })])
      expect(datasetFor(w.training, found)).toEqual({ use: USE, problem: null });
  });

  it('needs none when it has a URI', () => {
    expect(datasetFor(new World().training, undefined)).toEqual({ use: null, problem: null });
  });

  it('starts no worker before the URI is in the status, and then all with it', () => {
    const w = world();
    w.problem = { reason: 'DatasetNotReady', message: 'VicunaDataset "chats" is not complete' };
    w.step();
    expect(w.condition('Placed')).toMatchObject({ status: 'False', reason: 'DatasetNotReady' });
    w.problem = null;
    w.dataset = USE;
    const plan = w.step();
    expect(plan.create).toEqual([]);
    expect(plan.wakeAt).toBe(w.now);
    expect(w.status.dataset).toEqual(USE);
    w.dataset = { ...USE, uri: 's3://data/another' };
    expect(w.step().create).toHaveLength(2);
    expect(w.status.dataset).toEqual(USE);
    expect(w.events.filter((e) => e === 'DatasetReady')).toHaveLength(1);
  });
});
