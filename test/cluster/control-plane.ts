import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Pki } from './pki.ts';
import { type Daemon, endAll, Fatal, isAlive, startDaemon, until } from './run.ts';
import { CONTROL_PLANE_TOOLS } from './tool-versions.ts';
import { ensureTools, type ToolProgress } from './tools.ts';

export interface ControlPlaneOptions {
  readonly directory: string;
  /** Address on this machine that pods reach; 127.0.0.1 when there will be none. */
  readonly address?: string;
  /** Writes every request into audit.log. */
  readonly audit?: boolean;
  /** How long a kubelet may be silent before its node counts as dead, seconds. Default: enough for kwok's nodes. */
  readonly nodeGraceSeconds?: number;
  /** Serves Kubernetes' own gangs (PodGroup, alpha in 1.36) and schedules by them. */
  readonly podGroups?: boolean;
  readonly progress?: ToolProgress;
}

export interface ControlPlane {
  readonly directory: string;
  readonly address: string;
  readonly url: string;
  /** Kubeconfig of an administrator. */
  readonly kubeconfig: string;
  readonly pki: Pki;
  readonly auditLog: string;
  /** Processes by name. */
  readonly pids: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

/** kwok renews its nodes' leases every 50 s: with less they would be taken for dead in between, all of them, again and again. */
const KWOK_GRACE_SECONDS = 250;

export const SERVICE_RANGE = '10.96.0.0/16';
const API_SERVICE = '10.96.0.1';

/** Starts etcd, API server, controller manager and scheduler as processes of this machine. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { directory, address = '127.0.0.1' } = options;
  const tools = await ensureTools(CONTROL_PLANE_TOOLS, options.progress);
  mkdirSync(directory, { recursive: true });
  const [etcdPort = 0, peerPort = 0, apiPort = 0, managerPort = 0, schedulerPort = 0] = await freePorts(5);
  const pki = new Pki(join(directory, 'pki'));
  await pki.create();
  await Promise.all([
    pki.issue('apiserver', '/CN=kube-apiserver', [
      '127.0.0.1',
      address,
      API_SERVICE,
      'localhost',
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
    ]),
    pki.issue('admin', '/O=system:masters/CN=admin'),
    pki.issue('controller-manager', '/CN=system:kube-controller-manager'),
    pki.issue('scheduler', '/CN=system:kube-scheduler'),
    pki.issue('apiserver-kubelet', '/O=system:masters/CN=kube-apiserver-kubelet-client'),
  ]);
  const url = `https://${address}:${apiPort}`;
  for (const user of ['admin', 'controller-manager', 'scheduler']) pki.kubeconfig(join(directory, `${user}.kubeconfig`), user, url);

  const daemons: Daemon[] = [];
  const start = (name: string, binary: string, args: readonly string[]) => {
    const daemon = startDaemon(name, binary, args, join(directory, `${name}.log`));
    daemons.push(daemon);
  };
  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  start('etcd', tools.etcd, [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
    `--initial-cluster=default=http://127.0.0.1:${peerPort}`,
    '--unsafe-no-fsync',
    '--log-level=error',
  ]);
  start('kube-apiserver', tools['kube-apiserver'], [
    ...apiserverArguments({ pki, address, apiPort, etcdUrl, directory, audit: options.audit === true }),
    ...(options.podGroups ? ['--feature-gates=GenericWorkload=true', '--runtime-config=scheduling.k8s.io/v1alpha2=true'] : []),
  ]);
  const admin = join(directory, 'admin.kubeconfig');
  try {
    await until('the API server answering', 60_000, async () => {
      for (const daemon of daemons)
        if (!isAlive(daemon.pid))
          throw new Fatal(
            `${daemon.name} ended: see ${join(directory, `${daemon.name}.log`)}\n${lastWords(join(directory, `${daemon.name}.log`))}`,
          );
      return isReady(url, pki);
    });
  } catch (error) {
    await endAll(
      daemons.map((d) => d.pid),
      2_000,
    );
    throw error;
  }
  start('kube-controller-manager', tools['kube-controller-manager'], [
    `--kubeconfig=${join(directory, 'controller-manager.kubeconfig')}`,
    `--authentication-kubeconfig=${join(directory, 'controller-manager.kubeconfig')}`,
    `--authorization-kubeconfig=${join(directory, 'controller-manager.kubeconfig')}`,
    `--root-ca-file=${pki.ca}`,
    `--service-account-private-key-file=${pki.file('service-account.key')}`,
    '--use-service-account-credentials=true',
    '--leader-elect=false',
    `--secure-port=${managerPort}`,
    '--bind-address=127.0.0.1',
    '--node-monitor-period=2s',
    `--node-monitor-grace-period=${options.nodeGraceSeconds ?? KWOK_GRACE_SECONDS}s`,
    '--kube-api-qps=300',
    '--kube-api-burst=400',
    '--concurrent-gc-syncs=20',
    '--controllers=*,-bootstrap-signer-controller,-token-cleaner-controller,-horizontal-pod-autoscaler-controller,-persistentvolume-attach-detach-controller',
  ]);
  start('kube-scheduler', tools['kube-scheduler'], [
    `--kubeconfig=${join(directory, 'scheduler.kubeconfig')}`,
    `--authentication-kubeconfig=${join(directory, 'scheduler.kubeconfig')}`,
    `--authorization-kubeconfig=${join(directory, 'scheduler.kubeconfig')}`,
    '--leader-elect=false',
    `--secure-port=${schedulerPort}`,
    '--bind-address=127.0.0.1',
    '--kube-api-qps=1000',
    '--kube-api-burst=1000',
    ...(options.podGroups ? ['--feature-gates=GenericWorkload=true,GangScheduling=true'] : []),
  ]);
  const pids = Object.fromEntries(daemons.map((d) => [d.name, d.pid]));
  return {
    directory,
    address,
    url,
    kubeconfig: admin,
    pki,
    auditLog: join(directory, 'audit.log'),
    pids,
    async stop() {
      // The API server first would make the others wait for it; etcd last, so that nothing complains.
      await endAll(
        [pids['kube-scheduler'] ?? 0, pids['kube-controller-manager'] ?? 0].filter((p) => p > 0),
        2_000,
      );
      await endAll(
        [pids['kube-apiserver'] ?? 0].filter((p) => p > 0),
        3_000,
      );
      await endAll(
        [pids.etcd ?? 0].filter((p) => p > 0),
        2_000,
      );
      rmSync(join(directory, 'etcd'), { recursive: true, force: true });
    },
  };
}

/** A control plane that another process has started; it is stopped by who removes its cluster. */
export function attachControlPlane(directory: string, address: string, url: string): ControlPlane {
  const pki = new Pki(join(directory, 'pki'));
  return {
    directory,
    address,
    url,
    kubeconfig: join(directory, 'admin.kubeconfig'),
    pki,
    auditLog: join(directory, 'audit.log'),
    pids: {},
    stop: async () => {},
  };
}

interface ApiserverSettings {
  readonly pki: Pki;
  readonly address: string;
  readonly apiPort: number;
  readonly etcdUrl: string;
  readonly directory: string;
  readonly audit: boolean;
}

function apiserverArguments({ pki, address, apiPort, etcdUrl, directory, audit }: ApiserverSettings): string[] {
  const policy = join(directory, 'audit-policy.json');
  writeFileSync(
    policy,
    JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules: [{ level: 'Metadata' }] }),
  );
  return [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=0.0.0.0',
    // An endpoint of the kubernetes service must not be a loopback address.
    ...(address.startsWith('127.') ? [] : [`--advertise-address=${address}`]),
    `--secure-port=${apiPort}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    '--allow-privileged=true',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    `--client-ca-file=${pki.ca}`,
    `--tls-cert-file=${pki.file('apiserver.crt')}`,
    `--tls-private-key-file=${pki.file('apiserver.key')}`,
    `--kubelet-client-certificate=${pki.file('apiserver-kubelet.crt')}`,
    `--kubelet-client-key=${pki.file('apiserver-kubelet.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--service-account-key-file=${pki.file('service-account.pub')}`,
    `--service-account-signing-key-file=${pki.file('service-account.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    '--max-requests-inflight=800',
    '--max-mutating-requests-inflight=400',
    ...(audit ? [`--audit-policy-file=${policy}`, `--audit-log-path=${join(directory, 'audit.log')}`] : []),
  ];
}

async function isReady(url: string, pki: Pki): Promise<boolean> {
  const { KubeClient } = await import('../../operator/kube/client.ts');
  const client = new KubeClient({
    server: url,
    ca: readFileSync(pki.ca, 'utf8'),
    cert: readFileSync(pki.file('admin.crt'), 'utf8'),
    key: readFileSync(pki.file('admin.key'), 'utf8'),
    authorization: undefined,
    rejectUnauthorized: true,
  });
  try {
    return (await client.getPath('/readyz')) === 'ok';
  } finally {
    client.close();
  }
}

export function lastWords(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim().split('\n').slice(-5).join('\n');
  } catch {
    return '';
  }
}

/** Ports that are free now. They are held together until all are known, so that none comes twice. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', () => resolve(server));
      });
    }),
  );
  const ports = servers.map((s) => (s.address() as { port: number }).port);
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
  return ports;
}
