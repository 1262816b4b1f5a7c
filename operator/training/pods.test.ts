import { describe, expect, it } from 'vitest';
import { type GpuPool, poolWithDefaults } from '../api/gpu-pool.ts';
import { type VicunaTraining, withDefaults } from '../api/vicuna-training.ts';
import { workerPod } from './pods.ts';

const POOL: GpuPool = poolWithDefaults({
  metadata: { name: 'aws-a' },
  spec: {
    cloud: 'aws',
    accelerator: { type: 'A100', count: 8 },
    capacity: 'spot',
    price: { onDemand: '32', spot: '12' },
    nodeSelector: { pool: 'a' },
  },
} as unknown as GpuPool);

function pod(
  spec: object = {},
  { group = null, home = null, status = {} }: { group?: string | null; home?: string | null; status?: object } = {},
) {
  const training = withDefaults({
    metadata: { name: 'run', namespace: 'ml', uid: 'u1' },
    spec: {
      model: { base: 's3://models/llama' },
      dataset: { uri: 's3://data/c.jsonl' },
      workers: { min: 1, gpusPerWorker: 8, image: 'trainer' },
      checkpoint: { storage: 's3://ckpt/run' },
      ...spec,
    },
    status,
  } as unknown as VicunaTraining);
  return workerPod({ training, name: 'run-g1-0', generation: 1, rank: 0, pool: POOL, group, operatorUrl: 'http://operator', home });
}

const container = (made = pod()) => made.spec?.containers[0];
const told = (made = pod()): Record<string, string> =>
  JSON.parse(container(made)?.env?.find((e) => e.name === 'VICUNA_WORKER')?.value ?? '{}');

describe("a worker's pod", () => {
  it('tells the supervisor everything in one variable', () => {
    expect(container()?.env?.map((e) => e.name)).toEqual(['VICUNA_WORKER']);
    expect(told()).toMatchObject({ VICUNA_TRAINING: 'ml/run', VICUNA_POD_NAME: 'run-g1-0', VICUNA_PROCESSES: '8', HOME: '/tmp' });
    expect(JSON.parse(told().VICUNA_CONFIG ?? '')).toMatchObject({ checkpoint: { storage: 's3://ckpt/run', keep: 3 } });
  });

  it("lets the user's own variables go before its own", () => {
    const env = [{ name: 'HOME', value: '/home/me' }];
    const made = pod({ workers: { min: 1, gpusPerWorker: 8, template: { spec: { containers: [{ name: 'trainer', image: 'x', env }] } } } });
    expect(told(made)).not.toHaveProperty('HOME');
    expect(container(made)?.env).toContainEqual(env[0]);
  });

  it('holds nothing that the kubelet would take for a reference to a variable', () => {
    const command = ['sh', '-c', 'echo $(hostname) $$'];
    const made = pod({ workers: { min: 1, gpusPerWorker: 8, image: 'x', command } });
    expect(container(made)?.env?.[0]?.value).not.toContain('$');
    expect(JSON.parse(told(made).VICUNA_COMMAND ?? '')).toEqual(command);
  });

  it('reads what a VicunaDataset had made as the training began', () => {
    const made = pod(
      { dataset: { name: 'chats' } },
      {
        status: {
          dataset: { name: 'chats', uri: 'pvc://d/train', validationUri: 's3://d/val' },
        },
      },
    );
    expect(JSON.parse(told(made).VICUNA_CONFIG ?? '').dataset).toEqual({
      uri: 'file:///mnt/claims/d/train',
      validation: { uri: 's3://d/val', everySteps: 100 },
    });
    expect(container(made)?.volumeMounts?.map((m) => m.mountPath)).toContain('/mnt/claims/d');
  });

  it('mounts each claim once, and names it as a directory', () => {
    const made = pod({
      model: { base: 'pvc://models/llama' },
      dataset: { uri: 'pvc://models/c.jsonl' },
      checkpoint: { storage: 'pvc://ckpt/run' },
    });
    expect(made.spec?.volumes?.filter((v) => v.persistentVolumeClaim).map((v) => v.persistentVolumeClaim?.claimName)).toEqual([
      'ckpt',
      'models',
    ]);
    expect(container(made)?.volumeMounts?.map((m) => m.mountPath)).toContain('/mnt/claims/models');
    expect(JSON.parse(told(made).VICUNA_CONFIG ?? '')).toMatchObject({
      model: { base: 'file:///mnt/claims/models/llama' },
      dataset: { uri: 'file:///mnt/claims/models/c.jsonl' },
      checkpoint: { storage: 'file:///mnt/claims/ckpt/run' },
    });
  });

  it('is told of validation data, packing and adapters as the trainer reads them', () => {
    const made = pod({
      dataset: { uri: 's3://data/c.jsonl', validation: { uri: 'pvc://data/held-out.jsonl' } },
      recipe: { preset: 'vicuna-7b-qlora', overrides: { packing: true } },
    });
    const config = JSON.parse(told(made).VICUNA_CONFIG ?? '');
    expect(config.dataset).toEqual({
      uri: 's3://data/c.jsonl',
      validation: { uri: 'file:///mnt/claims/data/held-out.jsonl', everySteps: 100 },
    });
    expect(config.recipe).toMatchObject({
      packing: true,
      conversationTemplate: 'vicuna_v1.1',
      lora: { rank: 8, alpha: 16, dropout: 0.05, targetModules: ['q_proj', 'v_proj'], quantization: 'nf4', export: 'merged' },
    });
    expect(container(made)?.volumeMounts?.map((m) => m.mountPath)).toContain('/mnt/claims/data');
  });

  it('is as restricted as pods can be, and gets its GPUs', () => {
    expect(pod().spec?.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(container()?.securityContext).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } });
    expect(container()?.resources?.limits).toEqual({ 'nvidia.com/gpu': '8' });
  });

  it('names its owner by a reference at home, and by labels in another cluster, where a reference would have it removed', () => {
    expect(pod().metadata).toMatchObject({ ownerReferences: [{ name: 'run', uid: 'u1' }] });
    expect(pod().metadata?.labels).not.toHaveProperty('vicuna.run/home');
    const away = pod({}, { home: 'home-uid' }).metadata;
    expect(away).not.toHaveProperty('ownerReferences');
    expect(away?.labels).toMatchObject({ 'vicuna.run/home': 'home-uid', 'vicuna.run/owner-uid': 'u1' });
  });

  it('belongs to its gang where the cluster schedules gangs', () => {
    expect(pod().spec).not.toHaveProperty('schedulingGroup');
    expect(pod({}, { group: 'run-g1' }).spec).toMatchObject({ schedulingGroup: { podGroupName: 'run-g1' } });
  });
});
