import { DATASET, datasetResultSchema, datasetWithDefaults, type VicunaDataset } from '../api/vicuna-dataset.ts';
import { workerUri } from '../pods/claims.ts';
import { DATASET_LABEL } from '../pods/labels.ts';
import type { TaskKind } from '../tasks/kind.ts';
import { readResult } from '../tasks/result.ts';

/** How datasets run: one pod of workloads/data. `image` is the default one. */
export function datasetKind(image: string): TaskKind<VicunaDataset> {
  return {
    type: DATASET,
    label: DATASET_LABEL,
    suffix: 'dataset',
    withDefaults: datasetWithDefaults,
    secretsOf: ({ spec }) => spec.credentials.map(({ name }) => ({ field: 'spec.credentials', name })),
    missing: () => null,
    program: ({ spec }) => ({
      image: spec.image ?? image,
      config: datasetConfig(spec),
      uris: [...spec.sources.map((s) => s.uri), spec.tokenizer, spec.output],
      cpu: spec.cpu,
      memory: spec.memory,
      credentials: spec.credentials,
      template: spec.template,
    }),
    conclude(_dataset, text) {
      const { value, problem } = readResult(text, datasetResultSchema);
      if (value === null) return { status: {}, problem };
      const rejectedTotal = Object.values(value.rejected).reduce((sum, count) => sum + count, 0);
      return { status: { result: { ...value, rejectedTotal } }, problem: null };
    },
    results({ status }) {
      if (status?.result === undefined) return [];
      const { kept, rejectedTotal: rejected } = status.result;
      return Object.entries({ kept, rejected }).map(([outcome, value]) => ({ metric: 'datasetRecords', labels: { outcome }, value }));
    },
  };
}

/** The configuration of workloads/data/vicuna_data/config.py. */
export function datasetConfig({
  sources,
  tokenizer,
  clean,
  filters,
  split,
  identity,
  validationFraction,
  seed,
  output,
}: VicunaDataset['spec']): object {
  return {
    sources: sources.map((s) => ({ ...s, uri: workerUri(s.uri) })),
    tokenizer: workerUri(tokenizer),
    clean,
    filters,
    split,
    ...(identity === undefined ? {} : { identity }),
    validationFraction,
    seed,
    output: workerUri(output),
  };
}
