// The chart as tests render and install it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, parseAllDocuments, stringify } from 'yaml';
import type { KubeObject } from '../../operator/kube/types.ts';
import { ROOT } from './paths.ts';
import { run } from './run.ts';
import { toolPath } from './tools.ts';

export const CHART = join(ROOT, 'charts', 'vicuna-operator');
export const RELEASE = 'vicuna-operator';
export const RELEASE_NAMESPACE = 'vicuna-system';

/** Both Helms that are in use; the newer one first. */
export const HELMS = ['helm', 'helm-3'] as const;
export type Helm = (typeof HELMS)[number];

/** Runs Helm, with a cache and settings of its own and these values; its output. */
export async function helm(which: Helm, args: readonly string[], values: object = {}, kubeconfig = '/dev/null'): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'vicuna-helm-'));
  try {
    const file = join(home, 'values.json');
    writeFileSync(file, JSON.stringify(values));
    const takesValues = ['template', 'lint', 'install', 'upgrade'].includes(args[0] ?? '');
    const env = { HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home, KUBECONFIG: kubeconfig };
    return await run(toolPath(which), [...args, ...(takesValues ? ['--values', file] : [])], { env });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** The chart's objects, as a release of the usual name would have them. */
export async function rendered(values: object = {}, which: Helm = 'helm'): Promise<KubeObject[]> {
  const text = await helm(which, ['template', RELEASE, CHART, '--namespace', RELEASE_NAMESPACE], values);
  return parseAllDocuments(text).flatMap((document) => (document.toJS() as KubeObject | null) ?? []);
}

/** Every part that can be switched on. */
export const EVERYTHING = {
  monitoring: { operator: true, servings: true, notifier: true, alerts: true, labels: { release: 'prometheus' } },
  dashboards: { enabled: true },
  notifier: { enabled: true, cloud: 'aws' },
};

/** Writes the kubeconfig of a service account with a token; `admin` = the kubeconfig that knows the server. */
export async function accountKubeconfig(admin: string, namespace: string, name: string, file: string): Promise<string> {
  const token = await run(toolPath('kubectl'), ['--kubeconfig', admin, 'create', 'token', name, '--namespace', namespace, '--duration=1h']);
  const { clusters } = parse(readFileSync(admin, 'utf8'));
  const context = { name, context: { cluster: clusters[0].name, user: name } };
  const users = [{ name, user: { token: token.trim() } }];
  writeFileSync(file, stringify({ apiVersion: 'v1', kind: 'Config', clusters, contexts: [context], 'current-context': name, users }), {
    mode: 0o600,
  });
  return file;
}
