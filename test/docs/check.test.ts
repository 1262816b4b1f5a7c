// That what is wrong in a block is found: each case is right but for one thing.
import { describe, expect, it } from 'vitest';
import { problemsOfBlock, problemsOfSpan } from './check.ts';
import type { Block } from './markdown.ts';

const block = (text: string, more: Partial<Block> = {}): Block => ({ at: 'a.md:1', language: 'sh', text, notTested: null, ...more });
const problemsOf = async (text: string) => (await problemsOfBlock(block(text))).join('; ');

describe('a command line', () => {
  it.each([
    ['npm run demmo', 'no script "demmo"'],
    ['npm run demo -- --stepps 3', 'has no --stepps'],
    ['npm run demo --json FILE', 'npm keeps --json'],
    ['npm run policies -- --tabel T1', 'has no --tabel'],
    ['npm run bench -- lunch', 'no bench "lunch"'],
    ['npm run judge -- report --config FILE', 'report has no --config'],
    ['npm run judge -- judge', 'no command "judge"'],
    ['npm run cluster -- kill', "kill needs a node's name"],
    ['npm run lint -- --fix', 'no rule knows what npm run lint takes'],
    ['npm test units', 'no suite "units"'],
    ['kubectl apply -f examples/trainning.yaml', 'no examples/trainning.yaml'],
    ['kubectl get vtt', 'no kind "vtt"'],
    ['kubectl get vt,vss', 'no kind "vss"'],
    ['kubectl get vt --wach', "Unknown option '--wach'"],
    ['kubectl wait vt/NAME --for=condition=Completed', 'no condition Completed'],
    ['kubectl patch vt NAME --type merge -p \'{"spec":{"suspended":true}}\'', 'no field .spec.suspended'],
    ['kubectl -n vicuna-system rollout status deploymint/a', 'no kind "deploymint"'],
    ['kubectl vicuna explian vt/NAME', 'no command "explian"'],
    ['kubectl vicuna explain', 'say which object'],
    ['kubectl vicuna top --intervall 3', 'intervall'],
    ['helm install a charts/vicuna', 'no charts/vicuna/Chart.yaml'],
    ['helm install a oci://ghcr.io/vicuna/charts/vicuna-operator', 'the chart is at oci://'],
    ['helm install a', 'needs a release and a chart'],
    ['helm upgrade a charts/vicuna-operator --set images.registri=b', 'no value images.registri'],
    ['helm upgrade a charts/vicuna-operator --set logLevel.x=b --set notifier.enable=true', 'no value notifier.enable'],
    ['helm upgrade a charts/vicuna-operator --reuse', "Unknown option '--reuse'"],
    ['cd infra/aws\npulumi config set nam x', 'no setting nam'],
    ['cd infra/aws\npulumi config set huggingFaceToken x', 'is a secret'],
    ['pulumi config set name x', "no stack's directory"],
    ['cd infra/azure', 'no infra/azure'],
    ['cd infra/aws\ncp Pulumi.yml Pulumi.prod.yaml', 'no infra/aws/Pulumi.yml'],
    ['export PATH=$PWD/workloads/plugin:$PATH', 'no workloads/plugin'],
    ['python3 workloads/data/bench/mesure.py', 'no workloads/data/bench/mesure.py'],
    ['python3 workloads/trainer/bench/throughput.py --worlds 2', 'has no --worlds'],
    ['python3 -m vicuna_datas prepare', 'no Python module vicuna_datas'],
    ['python3 -m vicuna_data prepair', 'no command "prepair"'],
    ['python3 -m vicuna_data rules | grep $(kubectl get vtt)', 'no kind "vtt"'],
    ['vitest run --project units', 'no project "units"'],
    ['vitest run test/docs/no.test.ts', 'no test/docs/no.test.ts'],
    ['pulumi up', 'nothing checks "pulumi up"'],
    ['python3 -m vicuna_trainer.release verify --delta s3://a/b', 'nothing checks'],
  ])('%j is found out', async (text, problem) => {
    expect(await problemsOf(text)).toContain(problem);
  });

  it.each([
    'npm run demo -- --pipeline',
    'npm run cluster -- interrupt NODE --notice 30',
    'npm test lint unit',
    'kubectl apply -f FILE',
    'kubectl -n vicuna-system logs deployment/vicuna-operator --all-pods --since=30m',
    'kubectl logs SOME_POD',
    'kubectl wait pod/NAME --for=condition=Anything',
    'kubectl vicuna interrupt --simulate vt/NAME --notice 30s --yes',
    'kubectl vicuna top --once',
    'helm install a charts/vicuna-operator --set images.tag=b --set monitoring.labels.release=c,logLevel=debug --set tolerations[0].key=d',
    'cd infra/gcp\npulumi config set --secret huggingFaceToken',
    'cd infra/multi\npulumi config set name x',
  ])('%j is right', async (text) => {
    expect(await problemsOf(text)).toBe('');
  });
});

describe('a block', () => {
  const untested = block('pulumi up', { notTested: 'needs a cloud' });

  it('may hold what nothing checks when a mark says why', async () => {
    expect(await problemsOfBlock(untested)).toEqual([]);
  });

  it('is held to what can be checked of it all the same', async () => {
    expect(await problemsOfBlock({ ...untested, text: 'npm run demmo\npulumi up' })).toEqual(['package.json has no script "demmo"']);
  });

  it('has no mark that it does not need', async () => {
    expect(await problemsOfBlock({ ...untested, text: 'npm test' })).toEqual([
      'all of it is checked: take "not tested: needs a cloud" away',
    ]);
  });

  it('says what it holds, so that no command hides in it', async () => {
    expect((await problemsOfBlock(block('npm test', { language: '' })))[0]).toContain('say what the block holds');
    expect(await problemsOfBlock(block('NAME\n$ kubectl get vt', { language: 'text' }))).toEqual([
      'it runs kubectl: call the block sh or console',
    ]);
    expect(await problemsOfBlock(block('NAME  PHASE', { language: 'text' }))).toEqual([]);
  });

  it('of a console has commands behind its prompts only', async () => {
    const text = '$ kubectl get vtt\nnpm run demmo';
    expect(await problemsOfBlock(block(text, { language: 'console' }))).toEqual(['there is no kind "vtt"']);
  });
});

describe('code in a sentence', () => {
  const problems = (text: string) => problemsOfSpan({ at: 'a.md:1', text });

  it('is held to the same where it is a command line', async () => {
    expect(await problems('npm run demmo')).toEqual(['package.json has no script "demmo"']);
  });

  it('may be what nothing checks, a part of a command line, or a pattern', async () => {
    for (const text of [
      'pulumi up',
      'helm upgrade',
      'kubectl apply -f',
      'kubectl',
      'pulumi login s3://…',
      'kubectl vicuna interrupt RUN|NODE',
    ])
      expect(await problems(text)).toEqual([]);
  });
});
