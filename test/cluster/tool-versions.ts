/** How a tool is built from the Go module proxy, and where its official binary lies. */
export interface Tool {
  readonly module: string;
  readonly version: string;
  readonly package: string;
  readonly tags?: string;
  readonly ldflags?: string;
  /** What its own go.mod puts in place of a module; Go heeds that only in the main module. */
  readonly replace?: string;
  /** Official release of the binary itself, and the file with its sha256. */
  readonly download?: { readonly url: string; readonly checksumUrl: string };
  /** Rough seconds to build on two cores, for the progress display. */
  readonly seconds: number;
}

const KUBERNETES = 'v1.36.3';
/** The module version of the libraries that belong to a Kubernetes release. */
export const KUBERNETES_LIBRARIES = 'v0.36.3';
export const KUBERNETES_MODULE = 'k8s.io/kubernetes';

function kubernetes(command: string, seconds: number): Tool {
  const x = 'k8s.io/component-base/version';
  const base = `https://dl.k8s.io/release/${KUBERNETES}/bin/linux/amd64/${command}`;
  return {
    module: KUBERNETES_MODULE,
    version: KUBERNETES,
    package: `${KUBERNETES_MODULE}/cmd/${command}`,
    ldflags: `-X ${x}.gitVersion=${KUBERNETES} -X ${x}.gitMajor=1 -X ${x}.gitMinor=36`,
    download: { url: base, checksumUrl: `${base}.sha256` },
    seconds,
  };
}

function helm(version: string, major: 'v3' | 'v4', packages: readonly string[]): Tool {
  const module = `helm.sh/helm/${major}`;
  const kubernetes = packages.flatMap((path) => [`-X ${module}/${path}.k8sVersionMajor=1`, `-X ${module}/${path}.k8sVersionMinor=36`]);
  const ldflags = [`-X ${module}/internal/version.version=${version}`, ...kubernetes].join(' ');
  return { module, version, package: `${module}/cmd/helm`, ldflags, seconds: 110 };
}

const CONTAINERD = { module: 'github.com/containerd/containerd/v2', version: 'v2.4.2', tags: 'no_btrfs no_devmapper no_zfs' };
const CNI = { module: 'github.com/containernetworking/plugins', version: 'v1.9.1' };

export const TOOLS = {
  'kube-apiserver': kubernetes('kube-apiserver', 120),
  'kube-controller-manager': kubernetes('kube-controller-manager', 60),
  'kube-scheduler': kubernetes('kube-scheduler', 8),
  'kube-proxy': kubernetes('kube-proxy', 14),
  kubelet: kubernetes('kubelet', 20),
  kubectl: kubernetes('kubectl', 23),
  etcd: { module: 'go.etcd.io/etcd/server/v3', version: 'v3.6.6', package: 'go.etcd.io/etcd/server/v3', seconds: 40 },
  containerd: { ...CONTAINERD, package: `${CONTAINERD.module}/cmd/containerd`, seconds: 60 },
  'containerd-shim-runc-v2': { ...CONTAINERD, package: `${CONTAINERD.module}/cmd/containerd-shim-runc-v2`, seconds: 5 },
  ctr: { ...CONTAINERD, package: `${CONTAINERD.module}/cmd/ctr`, seconds: 5 },
  bridge: { ...CNI, package: `${CNI.module}/plugins/main/bridge`, seconds: 5 },
  'host-local': { ...CNI, package: `${CNI.module}/plugins/ipam/host-local`, seconds: 2 },
  loopback: { ...CNI, package: `${CNI.module}/plugins/main/loopback`, seconds: 2 },
  coredns: { module: 'github.com/coredns/coredns', version: 'v1.13.1', package: 'github.com/coredns/coredns', seconds: 90 },
  'ec2-metadata-mock': {
    module: 'github.com/aws/amazon-ec2-metadata-mock',
    version: 'v1.13.0',
    package: 'github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock',
    seconds: 15,
  },
  kwok: { module: 'sigs.k8s.io/kwok', version: 'v0.8.0', package: 'sigs.k8s.io/kwok/cmd/kwok', seconds: 60 },
  helm: helm('v4.3.1', 'v4', []),
  // The former Helm tells charts an old Kubernetes, unless it is built with the version that it is made for.
  'helm-3': helm('v3.22.0', 'v3', ['pkg/chartutil', 'pkg/lint/rules']),
  kubeconform: {
    module: 'github.com/yannh/kubeconform',
    version: 'v0.8.0',
    package: 'github.com/yannh/kubeconform/cmd/kubeconform',
    seconds: 20,
  },
  'helm-unittest': {
    module: 'github.com/helm-unittest/helm-unittest',
    version: 'v1.1.2',
    package: 'github.com/helm-unittest/helm-unittest/cmd/helm-unittest',
    replace: 'github.com/vmware-labs/yaml-jsonpath => github.com/helm-unittest/yaml-jsonpath v0.4.0',
    seconds: 65,
  },
  versitygw: {
    module: 'github.com/versity/versitygw',
    version: 'v1.8.0',
    package: 'github.com/versity/versitygw/cmd/versitygw',
    seconds: 50,
  },
  pulumi: {
    module: 'github.com/pulumi/pulumi/pkg/v3',
    version: 'v3.250.0',
    package: 'github.com/pulumi/pulumi/pkg/v3/cmd/pulumi',
    // Without it the command does not know its version, and the Automation API refuses it.
    ldflags: '-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.250.0',
    seconds: 240,
  },
} as const satisfies Record<string, Tool>;

export type ToolName = keyof typeof TOOLS;

/** What the control plane alone needs; what nodes need besides. */
export const CONTROL_PLANE_TOOLS: readonly ToolName[] = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'];
export const NODE_TOOLS: readonly ToolName[] = [
  'kubelet',
  'kube-proxy',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
  'bridge',
  'host-local',
  'loopback',
  'coredns',
  'versitygw',
];
