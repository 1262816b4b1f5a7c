// Every manifest that the project gives away, held by kubeconform against the schemas of the API server in use, and of those who have made
// the other kinds: no field that there is not, none of another type. That the API server takes them, chart.test.ts says.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { CHART, EVERYTHING, helm, RELEASE, RELEASE_NAMESPACE } from '../cluster/chart.ts';
import { downloadModule } from '../cluster/go-modules.ts';
import { ROOT } from '../cluster/paths.ts';
import { run } from '../cluster/run.ts';
import { ensureTools } from '../cluster/tools.ts';
import { type Definition, LOCATION, writeSchemas } from './manifest-schemas.ts';

const PROMETHEUS_OPERATOR = 'github.com/prometheus-operator/prometheus-operator@v0.85.0';

let tools: Awaited<ReturnType<typeof ensureTools>>;
let schemas: string;
let everything: string;
beforeAll(async () => {
  tools = await ensureTools(['helm', 'kubeconform', 'kubectl'], (tool, how) => console.log(`${how} ${tool} …`));
  schemas = mkdtempSync(join(tmpdir(), 'vicuna-schemas-'));
  const openApi = await run(tools.kubectl, ['--kubeconfig', process.env.KUBECONFIG ?? '', 'get', '--raw', '/openapi/v2']);
  const monitoring = join((await downloadModule(PROMETHEUS_OPERATOR)).Dir, 'example', 'prometheus-operator-crd');
  const files = [join(ROOT, 'crds'), monitoring]
    .flatMap((directory) => readdirSync(directory).map((file) => join(directory, file)))
    .filter((file) => /vicuna\.run|podmonitors|servicemonitors|prometheusrules/.test(file));
  writeSchemas(
    schemas,
    JSON.parse(openApi),
    files.map((file): Definition => parse(readFileSync(file, 'utf8'))),
  );
  everything = await template(EVERYTHING);
}, 600_000);
afterAll(() => rmSync(schemas, { recursive: true, force: true }));

/** What kubeconform says of files or, with `-`, of a text; an error when something is wrong with it. */
const conform = (paths: readonly string[], input?: string) =>
  run(
    tools.kubeconform,
    ['-strict', '-summary', '-schema-location', join(schemas, LOCATION), ...paths],
    input === undefined ? {} : { input },
  );
const template = (values: object) => helm('helm', ['template', RELEASE, CHART, '--namespace', RELEASE_NAMESPACE], values);

/** Values that are handed on into objects as they are: none must land in the wrong place. */
const HANDED_ON = {
  images: { pullSecrets: [{ name: 'registry' }] },
  extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }],
  nodeSelector: { pool: 'system' },
  tolerations: [{ key: 'system', operator: 'Exists' }],
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [] }] } } },
  topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'ScheduleAnyway' }],
  priorityClassName: 'system-cluster-critical',
  podLabels: { team: 'ml' },
  podAnnotations: { 'example.com/owner': 'ml' },
  serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/vicuna' } },
  service: { annotations: { 'example.com/owner': 'ml' } },
  networkPolicy: { metricsFrom: [{ namespaceSelector: {} }], workersFrom: [{ ipBlock: { cidr: '10.0.0.0/8' } }] },
  notifier: { enabled: true, nodeSelector: { 'karpenter.sh/capacity-type': 'spot' } },
};

describe('kubeconform', () => {
  it.each([
    ['as it is', {}],
    ['with everything on', EVERYTHING],
    ['limited to namespaces, with a single copy', { replicas: 1, rbac: { namespaces: ['team-a', 'team-b'] } }],
    ['with all that is handed on', HANDED_ON],
  ])('knows every field of the chart %s', async (_, values) => {
    const text = await template(values);
    const count = text.match(/^kind: /gm)?.length;
    expect(await conform(['-'], text)).toBe(
      `Summary: ${count} resources found parsing stdin - Valid: ${count}, Invalid: 0, Errors: 0, Skipped: 0\n`,
    );
  });

  it('knows every field of the examples and of the definitions', async () => {
    const said = await conform([join(ROOT, 'examples'), join(ROOT, 'crds')]);
    expect(said).toMatch(/^Summary: [1-9]\d+ resources found in [1-9]\d+ files - Valid: [1-9]\d+, Invalid: 0, Errors: 0, Skipped: 0\n$/);
  });

  it.each([
    ['a field of a pod that is misspelt', /imagePullPolicy: IfNotPresent/, 'imagePullPolcy: Always', "'imagePullPolcy' not allowed"],
    ['one of the metadata', /annotations:/, 'anotations:', "'anotations' not allowed"],
    ['one of a monitor', /honorLabels: true/, 'honourLabels: true', "'honourLabels' not allowed"],
    ['a value of another type', /replicas: 2/, 'replicas: "2"', 'got string, want integer'],
    ['a field that is there twice', /replicas: 2/, 'replicas: 2\n  replicas: 3', 'already set in map'],
    ['a kind that nobody knows', /kind: Service\n/, 'kind: Sevice\n', 'could not find schema for Sevice'],
  ])('refuses %s', async (_, right, wrong, words) => {
    const object = everything.split('\n---\n').find((text) => right.test(text)) ?? '';
    await expect(conform(['-'], object.replace(right, wrong))).rejects.toThrow(words);
  });

  it('refuses a field of our own kinds that is misspelt, also in the metadata', async () => {
    const example = readFileSync(join(ROOT, 'examples', 'training.yaml'), 'utf8');
    await expect(conform(['-'], example.replace(/^spec:\n/m, 'spec:\n  modle: {}\n'))).rejects.toThrow("'modle' not allowed");
    await expect(conform(['-'], example.replace(/^ {2}name:/m, '  lables: {}\n  name:'))).rejects.toThrow("'lables' not allowed");
  });
});
