import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { KubeClient } from '../../operator/kube/client.ts';
import type { S3 } from '../cluster/s3.ts';

/** A node of which the demo takes workers away. */
export interface DemoNode {
  readonly name: string;
  readonly pool: string;
  readonly isSpot: boolean;
}

/** What the demo needs of a cluster: the embedded one, or one of the user's own. */
export interface DemoCluster {
  readonly kubeconfig: string;
  /** Address of this machine that pods reach. */
  readonly address: string;
  /** For logs. */
  readonly directory: string;
  readonly client: KubeClient;
  readonly s3: S3;
  readonly pools: readonly GpuPool[];
  /** What there is, in a line. */
  readonly description: string;
  /** GPUs of one worker; 0 where the nodes have none. */
  readonly gpusPerWorker: number;
  /** The nodes that are there now. */
  nodes(): DemoNode[];
  /** Announces a node's end; `gone` resolves after it. */
  interrupt(node: DemoNode, noticeSeconds: number): Promise<{ seconds: number; gone: Promise<void> }>;
  kill(node: DemoNode): Promise<void>;
  /** A new machine takes the place of one that is gone. */
  replace(node: DemoNode): Promise<void>;
  /** Lets everything stand when the demo ends. */
  keep(): void;
  stop(): Promise<void>;
}
