import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node';

/** Where claims are mounted in workers, each below its own name. */
const MOUNTS = '/mnt/claims';
const PVC = /^pvc:\/\/([^/\s]+)(\/\S*)?$/;

/** The URI as workers see it: pvc://claim/path is a directory there. Any other URI as it is. */
export function workerUri(uri: string): string {
  const found = PVC.exec(uri);
  return found === null ? uri : `file://${MOUNTS}/${found[1]}${found[2] ?? ''}`;
}

/** Volumes and mounts for the claims that the URIs name, each claim once. */
export function claimVolumes(uris: readonly string[]): { volumes: V1Volume[]; mounts: V1VolumeMount[] } {
  const claims = [...new Set(uris.flatMap((uri) => PVC.exec(uri)?.[1] ?? []))].sort();
  return {
    volumes: claims.map((claimName, i) => ({ name: `claim-${i}`, persistentVolumeClaim: { claimName } })),
    mounts: claims.map((claimName, i) => ({ name: `claim-${i}`, mountPath: `${MOUNTS}/${claimName}` })),
  };
}
