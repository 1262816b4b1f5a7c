import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type ControlPlane, freePorts } from './control-plane.ts';
import { attempt, type Daemon, run, startDaemon } from './run.ts';
import { toolPath } from './tools.ts';

/** An interface of the cluster's own, whose address pods on every node and processes of the machine can reach. */
export const SERVICE_BRIDGE_INDEX = 0;

/** Makes the bridge that carries the machine's side of the cluster: API server, operator, S3 and DNS listen on its address. */
export async function makeHostAddress(prefix: string): Promise<string> {
  const bridge = `${prefix}${SERVICE_BRIDGE_INDEX}`;
  const address = `10.200.${SERVICE_BRIDGE_INDEX}.1`;
  await attempt('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await attempt('ip', ['addr', 'add', `${address}/24`, 'dev', bridge]);
  await run('ip', ['link', 'set', bridge, 'up']);
  return address;
}

/** kube-proxy and CoreDNS, once for all nodes: they share the machine's network. */
export async function startServices(controlPlane: ControlPlane): Promise<Daemon[]> {
  const { directory, pki, address } = controlPlane;
  await pki.issue('kube-proxy', '/CN=system:kube-proxy');
  const proxyKubeconfig = join(directory, 'kube-proxy.kubeconfig');
  pki.kubeconfig(proxyKubeconfig, 'kube-proxy', controlPlane.url);
  const [healthPort = 0, metricsPort = 0] = await freePorts(2);
  const proxyConfig = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: { kubeconfig: proxyKubeconfig },
    clusterCIDR: '10.200.0.0/16',
    conntrack: { maxPerCore: 0, min: 0 },
    healthzBindAddress: `127.0.0.1:${healthPort}`,
    metricsBindAddress: `127.0.0.1:${metricsPort}`,
  };
  writeFileSync(join(directory, 'kube-proxy.yaml'), stringify(proxyConfig));
  const proxy = startDaemon(
    'kube-proxy',
    toolPath('kube-proxy'),
    [`--config=${join(directory, 'kube-proxy.yaml')}`, '--hostname-override=host'],
    join(directory, 'kube-proxy.log'),
  );

  await pki.issue('coredns', '/O=system:masters/CN=coredns');
  const dnsKubeconfig = join(directory, 'coredns.kubeconfig');
  pki.kubeconfig(dnsKubeconfig, 'coredns', controlPlane.url);
  writeFileSync(
    join(directory, 'Corefile'),
    // Whatever is not the cluster's does not exist, and says so at once: a resolver that waits for an answer costs every
    // connection of a training ten seconds.
    `cluster.local:53 {
    bind ${address}
    errors
    kubernetes cluster.local {
        kubeconfig ${dnsKubeconfig}
        pods insecure
    }
}
.:53 {
    bind ${address}
    template ANY ANY {
        rcode NXDOMAIN
    }
}
`,
  );
  const dns = startDaemon('coredns', toolPath('coredns'), ['-conf', join(directory, 'Corefile')], join(directory, 'coredns.log'));
  return [proxy, dns];
}

/** Rules that kube-proxy leaves in the kernel. */
export async function removeServiceRules(prefix: string): Promise<void> {
  await attempt('nft', ['delete', 'table', 'ip', 'kube-proxy']);
  await attempt('nft', ['delete', 'table', 'ip6', 'kube-proxy']);
  await attempt('ip', ['link', 'delete', `${prefix}${SERVICE_BRIDGE_INDEX}`]);
}
