import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node';

// What every pod has that reports to the operator: a token that proves which pod it is, and a place for files of its own.

const TOKEN_DIRECTORY = '/var/run/secrets/vicuna.run';
/** Renewed by the kubelet before it expires. */
export const TOKEN_FILE = `${TOKEN_DIRECTORY}/token`;
const TOKEN_AUDIENCE = 'vicuna.run';

export const MOUNTS: V1VolumeMount[] = [
  { name: 'vicuna-token', mountPath: TOKEN_DIRECTORY, readOnly: true },
  { name: 'tmp', mountPath: '/tmp' },
];

export const VOLUMES: V1Volume[] = [
  {
    name: 'vicuna-token',
    projected: { sources: [{ serviceAccountToken: { audience: TOKEN_AUDIENCE, expirationSeconds: 3600, path: 'token' } }] },
  },
  { name: 'tmp', emptyDir: {} },
];
