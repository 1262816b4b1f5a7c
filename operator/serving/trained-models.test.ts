import { describe, expect, it } from 'vitest';
import { servingWithDefaults, type VicunaServing } from '../api/vicuna-serving.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import { waitingStatus, withTrainings } from './trained-models.ts';

const serving = (status: object = {}) =>
  servingWithDefaults({
    metadata: { name: 'chat', namespace: 'a', generation: 3 },
    spec: {
      models: [
        { name: 'tiny', training: 'run' },
        { name: 'other', weights: 's3://m/other' },
      ],
    },
    status,
  } as unknown as VicunaServing);

const training = (status: object, release?: object) =>
  ({
    metadata: { name: 'run' },
    spec: { checkpoint: { storage: 's3://ckpt/run/' }, ...(release ? { release } : {}) },
    status,
  }) as unknown as VicunaTraining;

const COMPLETE = { type: 'Complete', status: 'True' };
const RELEASED = training({ phase: 'Complete', conditions: [COMPLETE], release: { uri: 's3://r/delta', base: 's3://m/base' } }, {});

describe('a model that comes from a training', () => {
  it.each([
    [undefined, 'does not exist'],
    [training({}), 'is not complete'],
    [training({ phase: 'Running', progress: { display: '3/40' } }), 'is not complete: step 3/40'],
    [training({ phase: 'Failed', conditions: [{ type: 'Failed', message: 'oh' }] }), 'has failed (oh)'],
    [training({ phase: 'Complete', conditions: [COMPLETE] }, {}), 'is not released'],
    [
      training({ phase: 'Complete', conditions: [COMPLETE, { type: 'Released', status: 'False', message: 'waiting for pod x' }] }, {}),
      'is not released: waiting for pod x',
    ],
  ])('waits for it and says what for', (found, words) => {
    expect(withTrainings(serving(), () => found).waiting).toContain(`tiny comes from VicunaTraining "run", which ${words}`);
  });

  it('is its release: base and delta', () => {
    const { serving: full, waiting } = withTrainings(serving(), () => RELEASED);
    expect(waiting).toBeNull();
    expect(full.spec.models[0]).toMatchObject({ weights: 's3://m/base', delta: { uri: 's3://r/delta' } });
    expect(full.spec.models[1]).toMatchObject({ weights: 's3://m/other' });
    expect(full.status?.sources).toEqual([{ model: 'tiny', training: 'run', weights: 's3://m/base', delta: 's3://r/delta' }]);
  });

  it('is the whole model where no release is asked for', () => {
    const done = training({ phase: 'Complete', conditions: [COMPLETE] });
    expect(withTrainings(serving(), () => done).serving.spec.models[0]).toMatchObject({ weights: 's3://ckpt/run/model' });
  });

  it('stays what it was, whatever becomes of the training', () => {
    const sources = [{ model: 'tiny', training: 'run', weights: 's3://m/base', delta: 's3://r/delta' }];
    const { serving: full } = withTrainings(serving({ sources }), () => undefined);
    expect(full.spec.models[0]).toMatchObject({ weights: 's3://m/base', delta: { uri: 's3://r/delta' } });
  });

  it('is told of in the condition, whose time stays while it stays false', () => {
    const first = waitingStatus(serving(), 'a', 1_000);
    expect(first.conditions).toMatchObject([{ type: 'Ready', status: 'False', reason: 'TrainingNotReady', message: 'a' }]);
    const second = waitingStatus({ ...serving(), status: first }, 'b', 2_000);
    expect(second.conditions).toMatchObject([{ message: 'b', lastTransitionTime: new Date(1_000).toISOString() }]);
  });

  it('changes nothing for servings without', () => {
    const plain = servingWithDefaults({ metadata: {}, spec: { models: [{ name: 'a', weights: 's3://m/a' }] } } as unknown as VicunaServing);
    expect(withTrainings(plain, () => undefined).serving).toBe(plain);
  });
});
