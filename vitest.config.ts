import { defineConfig } from 'vitest/config';

// Projects by what they need: unit needs nothing, integration a real control plane, e2e the whole embedded cluster.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          // Some run thousands of cases, and others may share the cores.
          testTimeout: 30_000,
          include: ['{operator,charts}/**/*.test.ts', 'workloads/**/*.test.ts', 'test/{cluster,demo,bench,docs,simulation}/**/*.test.ts'],
        },
      },
      // Other people's clients, unchanged, against gateway and engine.
      {
        test: {
          name: 'clients',
          include: ['test/clients/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: ['test/integration/setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      // The images, built from their Dockerfiles and run; needs root.
      {
        test: { name: 'images', include: ['test/images/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 120_000, fileParallelism: false },
      },
      // The clouds' infrastructure: with mocks, and by the real pulumi command against clouds that are not there.
      { test: { name: 'infra', include: ['{infra,test/infra}/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 120_000, maxWorkers: 2 } },
      // Long runs against the whole of a behaviour, such as a crash at every write; `npm run soak`, not part of `npm test`.
      {
        test: {
          name: 'soak',
          include: ['test/soak/**/*.test.ts'],
          globalSetup: ['test/integration/setup.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 900_000, hookTimeout: 900_000, fileParallelism: false } },
    ],
  },
});
