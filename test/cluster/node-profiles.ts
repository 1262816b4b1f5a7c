/** A node to be: where it pretends to run, and what it offers. */
export interface NodeSpec {
  readonly name: string;
  readonly cloud: 'aws' | 'gcp' | 'onPremise';
  readonly capacity: 'spot' | 'onDemand';
  readonly region: string;
  readonly zone: string;
  readonly instanceType: string;
  readonly gpus: number;
}

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: 'NoSchedule' | 'NoExecute' | 'PreferNoSchedule';
}

/** Labels as EKS with Karpenter, or GKE, sets them. */
export function nodeLabels(spec: NodeSpec): Record<string, string> {
  const common = {
    'topology.kubernetes.io/region': spec.region,
    'topology.kubernetes.io/zone': spec.zone,
    'node.kubernetes.io/instance-type': spec.instanceType,
  };
  switch (spec.cloud) {
    case 'aws':
      return {
        ...common,
        'karpenter.sh/capacity-type': spec.capacity === 'spot' ? 'spot' : 'on-demand',
        'eks.amazonaws.com/capacityType': spec.capacity === 'spot' ? 'SPOT' : 'ON_DEMAND',
      };
    case 'gcp':
      return {
        ...common,
        'cloud.google.com/gke-nodepool': `${spec.capacity === 'spot' ? 'spot' : 'standard'}-${spec.zone}`,
        ...(spec.capacity === 'spot'
          ? { 'cloud.google.com/gke-spot': 'true', 'cloud.google.com/gke-provisioning': 'spot' }
          : { 'cloud.google.com/gke-provisioning': 'standard' }),
      };
    case 'onPremise':
      return common;
  }
}

/** Taints as the clouds' node pools for GPUs carry them. */
export function nodeTaints(spec: NodeSpec): Taint[] {
  return [
    ...(spec.gpus > 0 ? [{ key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' as const }] : []),
    ...(spec.cloud === 'gcp' && spec.capacity === 'spot'
      ? [{ key: 'cloud.google.com/gke-spot', value: 'true', effect: 'NoSchedule' as const }]
      : []),
  ];
}

/** What a cloud's own taint promises before the node goes, seconds. */
const PROMISED: Readonly<Record<NodeSpec['cloud'], number>> = { aws: 120, gcp: 15, onPremise: 0 };
/** What it gives as a rule, seconds. */
const USUAL: Readonly<Record<NodeSpec['cloud'], number>> = { aws: 120, gcp: 30, onPremise: 60 };

/**
 * The taint by which the cloud's handler announces that the node will be taken back, and in how many seconds it will be. For less time
 * than the cloud's taint promises it is the notifier's, which names the deadline: a notice must be true.
 */
export function noticeTaint(spec: NodeSpec, now: number, wanted?: number): { taint: Taint; seconds: number } {
  const seconds = wanted ?? USUAL[spec.cloud];
  if (spec.cloud === 'onPremise' || seconds < PROMISED[spec.cloud]) {
    const deadline = String(Math.floor(now / 1000 + seconds));
    return { taint: { key: 'vicuna.run/interruption', value: deadline, effect: 'NoSchedule' }, seconds };
  }
  const taint: Taint =
    spec.cloud === 'aws'
      ? { key: 'aws-node-termination-handler/spot-itn', value: `spot-itn-${now.toString(36)}`, effect: 'NoSchedule' }
      : { key: 'cloud.google.com/impending-node-termination', effect: 'NoSchedule' };
  return { taint, seconds };
}
