import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { KubeClient } from '../../operator/kube/client.ts';
import { NODE } from '../../operator/kube/types.ts';
import { type ControlPlane, freePorts } from './control-plane.ts';
import { startDaemon, until } from './run.ts';
import { toolPath } from './tools.ts';

/** Name under which kube-proxy runs: it serves the machine, which is no node. */
const HOST = 'host';

/** kube-proxy and CoreDNS, once for all nodes: they share the machine's network. */
export async function startServices(controlPlane: ControlPlane, client: KubeClient): Promise<void> {
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
  // It waits half a minute for its node before it serves anybody, and minds no longer once it has seen it.
  await client.create(NODE, { metadata: { name: HOST }, spec: { unschedulable: true } });
  await client.mergePatch(NODE, undefined, HOST, { status: { addresses: [{ type: 'InternalIP', address }] } }, { subresource: 'status' });
  startDaemon(
    'kube-proxy',
    toolPath('kube-proxy'),
    [`--config=${join(directory, 'kube-proxy.yaml')}`, `--hostname-override=${HOST}`],
    join(directory, 'kube-proxy.log'),
  );
  await until(`kube-proxy serving (log: ${join(directory, 'kube-proxy.log')})`, 60_000, async () => {
    const answer = await fetch(`http://127.0.0.1:${healthPort}/livez`).catch(() => null);
    return answer?.ok === true;
  });
  await client.delete(NODE, undefined, HOST);

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
