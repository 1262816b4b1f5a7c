// The real `pulumi` command shows the stack `aws`, makes it, would change nothing at a second try, and takes it away again, in a cloud that is
// not there. What it puts into Kubernetes goes to a real API server, with Karpenter's own definitions.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineEvent } from '@pulumi/pulumi/automation/index.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { downloadModule } from '../cluster/go-modules.ts';
import { Ownership } from '../cluster/ownership.ts';
import { run } from '../cluster/run.ts';
import { ensureTools } from '../cluster/tools.ts';
import { createEnvironment, type Environment, POLICY_PACK } from './automation.ts';

const KARPENTER = ['sigs.k8s.io/karpenter@v1.14.1', 'github.com/aws/karpenter-provider-aws@v1.14.1'];

let tools: Awaited<ReturnType<typeof ensureTools>>;

beforeAll(async () => {
  tools = await ensureTools(['pulumi', 'kubectl'], (tool, how) => console.log(`${how} ${tool} …`));
}, 1_800_000);

const types = (e: Environment) => e.things().map((thing) => thing.type);

describe('stack aws', () => {
  let directory: string;
  let ownership: Ownership;
  let controlPlane: ControlPlane;
  let aws: Environment;
  const output: string[] = [];
  const events: EngineEvent[] = [];

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'vicuna-infra-'));
    ownership = Ownership.take(directory);
    controlPlane = await startControlPlane({ directory });
    for (const file of await karpenterDefinitions()) await kubectl('apply', '--server-side', '-f', file);
    aws = await createEnvironment('aws', {
      kubernetes: { kubectl: tools.kubectl, kubeconfig: controlPlane.kubeconfig },
      secrets: { 'vicuna-aws:huggingFaceToken': 'hf_secret' },
    });
  }, 300_000);
  afterAll(async () => {
    aws?.remove();
    await controlPlane?.stop();
    rmSync(directory, { recursive: true, force: true });
    await ownership?.release();
  });

  const kubectl = (...args: string[]) => run(tools.kubectl, ['--kubeconfig', controlPlane.kubeconfig, ...args]);

  it('is shown first, with what it costs, and makes nothing', async () => {
    const { changeSummary } = await aws.stack.preview({ onOutput: (text) => output.push(text) });
    expect(changeSummary.create).toBeGreaterThan(100);
    expect(aws.things()).toEqual([]);
    expect(output.join('')).toMatch(/At zero 0\.\d+, at maximum \d+\.\d+\. Spot nodes/);
  }, 300_000);

  it('is made, and the policy pack has looked at it', async () => {
    const said: string[] = [];
    const { summary, outputs } = await aws.stack.up({ policyPacks: [POLICY_PACK], onOutput: (text) => said.push(text) });
    expect(said.join('')).toMatch(/✅ vicuna@v/);
    expect(summary.result).toBe('succeeded');
    expect(outputs.gateway?.value).toBe('https://chat.example.org');
    expect(outputs.kubeconfig?.secret).toBe(true);
    expect(types(aws)).toContain('aws:eks/cluster:Cluster');
  }, 300_000);

  it('has put into Kubernetes what Karpenter’s and the operator’s own definitions accept', async () => {
    const names = async (kind: string) =>
      (await kubectl('get', kind, '-o', 'name'))
        .trim()
        .split('\n')
        .map((line) => line.split('/')[1]);
    const [nodePools, gpuPools] = [await names('nodepools.karpenter.sh'), await names('gpupools.vicuna.run')];
    expect(nodePools.filter((name) => name !== 'general')).toEqual(gpuPools);
    expect(gpuPools).toHaveLength(7);
    expect(await names('ec2nodeclasses.karpenter.k8s.aws')).toEqual(['general', 'p4d', 'p5']);
    expect(await kubectl('get', 'secret', 'huggingface', '-n', 'vicuna', '-o', 'jsonpath={.data.HF_TOKEN}')).toBe(
      Buffer.from('hf_secret').toString('base64'),
    );
  });

  it('keeps secrets out of its state and its settings', () => {
    const files = aws.files();
    expect(files.length).toBeGreaterThan(1);
    for (const text of files) expect(text).not.toContain('hf_secret');
    expect(files.join('')).toContain('ciphertext');
  });

  it('would not be changed by a second up', async () => {
    const { changeSummary } = await aws.stack.preview({ expectNoChanges: true });
    expect(Object.keys(changeSummary)).toEqual(['same']);
  }, 300_000);

  it('is not taken away with its data by mistake', async () => {
    await expect(aws.stack.destroy({ onEvent: (event) => events.push(event) })).rejects.toThrow(/bucket.*protect|protect.*bucket/is);
    expect(types(aws)).toContain('aws:s3/bucket:Bucket');
  }, 300_000);

  it('removes Karpenter once its nodes are gone, and what they need after it', () => {
    const begun = (type: RegExp, name = '') => events.findIndex(({ resourcePreEvent: e }) => isDeletion(e, type, name));
    const ended = (type: RegExp, name = '') => events.findLastIndex(({ resOutputsEvent: e }) => isDeletion(e, type, name));
    expect(ended(/:NodePool$/)).toBeGreaterThan(0);
    expect(begun(/:EC2NodeClass$/, 'class-p5')).toBeGreaterThan(ended(/:NodePool$/, 'h100'));
    expect(begun(/:Release$/, '::vicuna-karpenter')).toBeGreaterThan(ended(/:EC2NodeClass$/));
    for (const needed of [/rolePolicy:RolePolicy$/, /podIdentityAssociation:/, /queue:Queue$/, /addon:/, /nodeGroup:/, /natGateway:/])
      expect(begun(needed)).toBeGreaterThan(ended(/:Release$/, '::vicuna-karpenter'));
  });

  it('leaves nothing but its data', async () => {
    await aws.stack.destroy({ excludeProtected: true });
    expect(types(aws).sort()).toEqual([
      'aws:s3/bucket:Bucket',
      'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration',
      'aws:s3/bucketOwnershipControls:BucketOwnershipControls',
      'aws:s3/bucketPolicy:BucketPolicy',
      'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock',
      'aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration',
      'aws:s3/bucketVersioning:BucketVersioning',
    ]);
    expect((await kubectl('get', 'nodepools.karpenter.sh,ec2nodeclasses.karpenter.k8s.aws', '-o', 'name')).trim()).toBe('');
  }, 300_000);

  it('leaves nothing at all once the data is given up', async () => {
    await run(tools.pulumi, ['state', 'unprotect', '--all', '--yes', '--stack', 'example'], {
      cwd: aws.stack.workspace.workDir,
      env: { ...aws.stack.workspace.envVars },
    });
    await aws.stack.destroy();
    expect(aws.things()).toEqual([]);
    const { deployment } = await aws.stack.exportStack();
    expect(deployment.resources ?? []).toEqual([]);
  }, 300_000);
});

function isDeletion(event: EngineEvent['resourcePreEvent'] | EngineEvent['resOutputsEvent'], type: RegExp, name: string): boolean {
  return event?.metadata.op === 'delete' && type.test(event.metadata.type) && event.metadata.urn.includes(name);
}

/** Karpenter's definitions as its own modules carry them; EC2NodeClass is AWS's. */
async function karpenterDefinitions(): Promise<string[]> {
  const files: string[] = [];
  for (const module of KARPENTER) {
    const crds = join((await downloadModule(module)).Dir, 'pkg', 'apis', 'crds');
    files.push(...readdirSync(crds).map((file) => join(crds, file)));
  }
  // Both modules carry NodePool's; AWS's comes later and knows more of its own labels.
  return files.filter((file) => /nodepools|nodeclaims|ec2nodeclasses/.test(file));
}
