import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type ControlPlane, freePorts } from './control-plane.ts';
import { startDaemon } from './run.ts';
import { toolPath } from './tools.ts';

/** kube-proxy and CoreDNS, once for all nodes: they share the machine's network. */
export async function startServices(controlPlane: ControlPlane): Promise<void> {
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
  startDaemon(
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
  startDaemon('coredns', toolPath('coredns'), ['-conf', join(directory, 'Corefile')], join(directory, 'coredns.log'));
}
