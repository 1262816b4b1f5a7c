// `npm run generate`: writes what follows from the code (CRDs, reference pages). `--check` only says what is stale.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { chartFiles } from '../charts/generate.ts';
import { gatewayMetricDefinitions } from '../workloads/gateway/metrics.ts';
import { NOTIFIER_METRICS } from '../workloads/notifier/metrics.ts';
import { customResourceDefinition } from './api/crd.ts';
import { KINDS } from './api/kinds.ts';
import { apiReference, presetsReference } from './api/reference.ts';
import { metricsReference } from './server/metrics-table.ts';
import { PRESETS } from './training/recipe.ts';

const HEADER = '# Generated from operator/api by `npm run generate`. Do not edit.\n';

/** Every generated file by its path from the project's root. */
export function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const kind of KINDS) {
    files.set(
      `crds/vicuna.run_${kind.plural}.yaml`,
      HEADER + stringify(customResourceDefinition(kind), { lineWidth: 0, aliasDuplicateObjects: false }),
    );
  }
  files.set('docs/reference/api.md', apiReference(KINDS));
  files.set('docs/reference/presets.md', presetsReference(PRESETS));
  files.set('docs/reference/metrics.md', metricsReference(gatewayMetricDefinitions(), Object.values(NOTIFIER_METRICS)));
  for (const [path, text] of chartFiles()) files.set(path, text);
  return files;
}

/** Paths whose content on disk differs from what the code says. */
export function staleFiles(root: string): string[] {
  return [...generatedFiles()].filter(([path, text]) => read(join(root, path)) !== text).map(([path]) => path);
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  const stale = staleFiles(root);
  if (process.argv.includes('--check')) {
    for (const path of stale) console.error(`${path} is stale: run \`npm run generate\``);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    for (const path of stale) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), generatedFiles().get(path) ?? '');
      console.log(`wrote ${path}`);
    }
  }
}
