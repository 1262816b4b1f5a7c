// `npm test`: lint, types, unit, Python, image, integration and end-to-end tests, one after the other. The last line counts them all.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pythonSitePackages } from './cluster/python.ts';

interface Count {
  readonly passed: number;
  readonly failed: number;
}

interface Suite {
  readonly name: string;
  run(): Promise<Count>;
}

const scratch = mkdtempSync(join(tmpdir(), 'vicuna-test-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

const SUITES: readonly Suite[] = [
  { name: 'lint', run: () => check('biome', ['check', '.']) },
  { name: 'types', run: () => check('tsc', ['--noEmit']) },
  { name: 'generated', run: () => check('node', ['operator/generate.ts', '--check']) },
  { name: 'unit', run: () => vitest('unit') },
  { name: 'python', run: () => pytest() },
  { name: 'infra', run: () => vitest('infra') },
  { name: 'clients', run: () => vitest('clients') },
  { name: 'images', run: () => vitest('images') },
  { name: 'integration', run: () => vitest('integration') },
  { name: 'e2e', run: () => vitest('e2e') },
];

/** Runs a command with its output shown; resolves to its exit code. */
function execute(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } });
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

/** A check that is one test: it passes or fails as a whole. */
async function check(command: string, args: readonly string[]): Promise<Count> {
  const ok = (await execute(command, args)) === 0;
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1 };
}

async function vitest(project: string): Promise<Count> {
  const report = join(scratch, `${project}.json`);
  const code = await execute('vitest', [
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  return counted(code, () => {
    const { numPassedTests, numFailedTests, numFailedTestSuites } = JSON.parse(readFileSync(report, 'utf8'));
    return { passed: numPassedTests, failed: numFailedTests || (code === 0 ? 0 : numFailedTestSuites) };
  });
}

async function pytest(): Promise<Count> {
  const report = join(scratch, 'pytest.xml');
  const sitePackages = await pythonSitePackages();
  const path = [...['trainer', 'engine', 'data'].map((room) => join(process.cwd(), 'workloads', room)), sitePackages];
  const env = { PYTHONPATH: path.join(':'), PYTHONDONTWRITEBYTECODE: '1' };
  const lint = await execute('python3', ['-m', 'ruff', 'check', 'workloads'], env);
  const code = await execute('python3', ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', `--junitxml=${report}`, 'workloads'], env);
  const { passed, failed } = counted(code, () => {
    const suite = /<testsuite [^>]*>/.exec(readFileSync(report, 'utf8'))?.[0] ?? '';
    const number = (name: string) => Number(new RegExp(`${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
    const bad = number('failures') + number('errors');
    return { passed: number('tests') - bad - number('skipped'), failed: bad };
  });
  return lint === 0 ? { passed: passed + 1, failed } : { passed, failed: failed + 1 };
}

/** A runner that fails without counting a failure (it crashed, or collected nothing) counts as one. */
function counted(code: number, read: () => Count): Count {
  try {
    const count = read();
    return code !== 0 && count.failed === 0 ? { ...count, failed: 1 } : count;
  } catch {
    return { passed: 0, failed: 1 };
  }
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !SUITES.some((s) => s.name === name));
if (unknown.length > 0) {
  console.error(`No suite "${unknown.join(', ')}". There are: ${SUITES.map((s) => s.name).join(', ')}.`);
  process.exit(2);
}

const rows: string[] = [];
let passed = 0;
let failed = 0;
for (const suite of SUITES.filter((s) => wanted.length === 0 || wanted.includes(s.name))) {
  console.log(`\n── ${suite.name}`);
  const startedAt = performance.now();
  const count = await suite.run();
  passed += count.passed;
  failed += count.failed;
  rows.push(
    `${suite.name.padEnd(12)} ${String(count.passed).padStart(5)} passed ${String(count.failed).padStart(4)} failed ${((performance.now() - startedAt) / 1000).toFixed(0).padStart(5)} s`,
  );
}
console.log(`\n${rows.join('\n')}\n`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
