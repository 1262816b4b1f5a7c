// Custom resources, which the SDK knows nothing of, and a real API server to put objects into, where there is one.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

/** Kinds of others that our stacks make, whose definitions are no part of the SDK. */
const CUSTOM_KINDS = new Set([
  'vicuna.run/v1alpha1:GpuPool',
  'karpenter.sh/v1:NodePool',
  'karpenter.k8s.aws/v1:EC2NodeClass',
  'gateway.networking.k8s.io/v1:Gateway',
  'gateway.networking.k8s.io/v1:HTTPRoute',
  'networking.gke.io/v1:GCPBackendPolicy',
  'networking.gke.io/v1:HealthCheckPolicy',
]);

export function isCustomKind(token: string): boolean {
  return CUSTOM_KINDS.has(token.slice('kubernetes:'.length));
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

/** Applies objects to a real API server as Pulumi's provider does: by server-side apply, and what was deleted is waited for until it is gone. */
export class RealCluster {
  readonly #kubectl: string;
  readonly #kubeconfig: string;

  constructor(kubectl: string, kubeconfig: string) {
    this.#kubectl = kubectl;
    this.#kubeconfig = kubeconfig;
  }

  async apply(object: KubeObject): Promise<void> {
    await this.#run(['apply', '--server-side', '--force-conflicts', '--validate=strict', '--field-manager=pulumi', '-f', '-'], object);
    // A kind is served a moment after its definition is there.
    if (object.kind === 'CustomResourceDefinition')
      await this.#run(['wait', '--for=condition=Established', '--timeout=60s', '-f', '-'], object);
  }

  async delete(object: KubeObject): Promise<void> {
    await this.#run(['delete', '--wait=true', '--timeout=60s', '-f', '-'], object);
  }

  async #run(args: readonly string[], object: KubeObject): Promise<void> {
    const child = spawn(this.#kubectl, ['--kubeconfig', this.#kubeconfig, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.end(JSON.stringify(object));
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    const [, complaint, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    if (code !== 0) throw new Error(`${object.kind} ${object.metadata.name}: ${complaint.trim()}`);
  }
}
