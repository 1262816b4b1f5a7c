import { existsSync, readFileSync } from 'node:fs';
import type { V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NODE, POD } from '../../operator/kube/types.ts';
import { Cluster } from '../cluster/cluster.ts';
import { DEMO_NODES } from '../cluster/demo-nodes.ts';
import { attempt, run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';

let cluster: Cluster;
const [aws, gcp] = [DEMO_NODES[0], DEMO_NODES[2]];
if (!aws || !gcp) throw new Error('the demo has nodes on two clouds');

beforeAll(async () => {
  cluster = await Cluster.start({ nodes: [aws, gcp], name: 'e2e-cluster' });
});
afterAll(async () => {
  await cluster?.stop();
});

const kubectl = (...args: string[]) => run(toolPath('kubectl'), ['--kubeconfig', cluster.kubeconfig, ...args]);

function pod(name: string, node: string, script: string): V1Pod {
  return {
    metadata: { name, namespace: 'default' },
    spec: {
      nodeName: node,
      restartPolicy: 'Never',
      tolerations: [{ operator: 'Exists' }],
      containers: [
        {
          name: 'main',
          image: 'vicuna/trainer:dev',
          command: ['python3', '-c', script],
          env: Object.entries(cluster.s3.environment).map(([name, value]) => ({ name, value })),
        },
      ],
    },
  };
}

describe('the embedded cluster', () => {
  it('has nodes as their clouds label and taint them, with GPUs', async () => {
    const node = await cluster.client.get(NODE, undefined, gcp.name);
    expect(node.metadata?.labels).toMatchObject({ 'cloud.google.com/gke-spot': 'true', 'topology.kubernetes.io/zone': 'us-central1-a' });
    expect(node.spec?.taints?.map((t) => t.key)).toContain('nvidia.com/gpu');
    expect(node.status?.allocatable?.['nvidia.com/gpu']).toBe('1');
  });

  it('runs pods that reach DNS, the API, S3 and each other; logs and exec work', async () => {
    const server =
      "import http.server; print('up', flush=True); http.server.HTTPServer(('', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()";
    await cluster.client.create(POD, pod('server', aws.name, server));
    await until('the server running', 30_000, async () => (await cluster.client.get(POD, 'default', 'server')).status?.phase === 'Running');
    const address = (await cluster.client.get(POD, 'default', 'server')).status?.podIP;
    const probe = [
      'import socket, urllib.request, os, time',
      // kube-proxy looks for its own Node for half a minute before it goes on without one.
      'until = time.monotonic() + 60',
      'while True:',
      '    try:',
      "        socket.create_connection(('kubernetes.default.svc.cluster.local', 443), 2)",
      '        break',
      '    except OSError:',
      '        if time.monotonic() > until: raise',
      "socket.create_connection((os.environ['AWS_ENDPOINT_URL'].split('/')[2].split(':')[0], int(os.environ['AWS_ENDPOINT_URL'].rsplit(':', 1)[1])), 5)",
      `print(urllib.request.urlopen('http://${address}:8000/', timeout=5).status)`,
    ].join('\n');
    await cluster.client.create(POD, pod('probe', gcp.name, probe));
    await until('the probe ended', 90_000, async () =>
      ['Succeeded', 'Failed'].includes((await cluster.client.get(POD, 'default', 'probe')).status?.phase ?? ''),
    );
    expect((await kubectl('logs', 'probe')).trim()).toBe('200');
    expect(
      (
        await kubectl('exec', 'server', '--', 'hostname').catch(() =>
          kubectl('exec', 'server', '--', 'python3', '-c', 'import socket; print(socket.gethostname())'),
        )
      ).trim(),
    ).toBe('server');
  });

  it('takes a node away for real: every process on it ends, and the Node is gone', async () => {
    const before = (await attempt('pgrep', ['-fc', 'http.server.HTTPServer'])) ?? '0';
    expect(Number(before)).toBeGreaterThan(0);
    const { gone } = await cluster.interruptNode(aws.name, { noticeSeconds: 1 });
    const tainted = await cluster.client.get(NODE, undefined, aws.name);
    // Not the taint of AWS's own handler: that one promises two minutes.
    expect(tainted.spec?.taints?.map((t) => t.key)).toContain('vicuna.run/interruption');
    await gone;
    expect(await attempt('pgrep', ['-f', 'http.server.HTTPServer'])).toBeNull();
    await expect(cluster.client.get(NODE, undefined, aws.name)).rejects.toThrow('not found');
  });

  it('leaves nothing behind when it stops', async () => {
    const { directory } = cluster;
    await cluster.stop();
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(directory);
    // Its watcher ends a moment after it, once its pipe has closed.
    await until('all its processes ended', 10_000, async () => (await attempt('pgrep', ['-f', directory])) === null);
    expect(await attempt('ip', ['link', 'show', 'vcn1'])).toBeNull();
    expect(existsSync(directory)).toBe(false);
  });
});
