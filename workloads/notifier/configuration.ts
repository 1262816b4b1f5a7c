/** The notifier's settings, from its environment. */
export interface NotifierConfig {
  /** Name of the Node that this process runs on. */
  readonly node: string;
  /** aws, gcp, azure or none; undefined = found out. */
  readonly cloud: string | undefined;
  /** Where the metadata service answers; undefined = at the cloud's own address. */
  readonly metadataUrl: string | undefined;
  /** Seconds that pods have from Google's preemption notice. */
  readonly gcpNoticeSeconds: number;
  /** Port of /healthz and /metrics on every address of the node; 0 = none. */
  readonly port: number;
  /** Directory of the service account's token and certificate; undefined = the pod's own. */
  readonly accountDirectory: string | undefined;
}

/** Reads the settings; throws a sentence that says what to do. */
export function readConfig(env: NodeJS.ProcessEnv): NotifierConfig {
  const node = env.NODE_NAME;
  if (!node) throw new Error('NODE_NAME is not set: give it the value of spec.nodeName, by the downward API');
  return {
    node,
    cloud: env.CLOUD || undefined,
    metadataUrl: env.VICUNA_METADATA_URL || undefined,
    // Of the 30 s after the notice, GKE leaves pods 15 s; a node pool with a longer grace period has more.
    gcpNoticeSeconds: number(env, 'VICUNA_GCP_NOTICE_SECONDS', 15, 1, 3_600),
    port: number(env, 'VICUNA_PORT', 9_814, 0, 65_535),
    accountDirectory: env.VICUNA_ACCOUNT_DIRECTORY || undefined,
  };
}

function number(env: NodeJS.ProcessEnv, name: string, byDefault: number, min: number, max: number): number {
  const value = Number(env[name] ?? byDefault);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`${name} "${env[name]}" must be a whole number from ${min} to ${max}`);
  return value;
}
