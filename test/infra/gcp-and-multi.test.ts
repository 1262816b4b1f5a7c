// The real `pulumi` command makes the stacks `gcp` and `multi` and takes them away again, in clouds that are not there.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTools } from '../cluster/tools.ts';
import { createEnvironment, type Environment, POLICY_PACK } from './automation.ts';
import type { StackName } from './mocked.ts';

const environments: Environment[] = [];

beforeAll(async () => {
  await ensureTools(['pulumi'], (tool, how) => console.log(`${how} ${tool} …`));
}, 1_800_000);
afterAll(() => {
  for (const e of environments) e.remove();
});

const types = (e: Environment) => e.things().map((thing) => thing.type);

describe.each<[StackName, string[]]>([
  ['gcp', ['gcp:container/cluster:Cluster', 'gcp:storage/bucket:Bucket']],
  ['multi', ['aws:eks/cluster:Cluster', 'gcp:container/cluster:Cluster', 'aws:iam/openIdConnectProvider:OpenIdConnectProvider']],
])('stack %s', (stack, some) => {
  it('is made, and leaves nothing but its data', async () => {
    const cloud = await createEnvironment(stack);
    environments.push(cloud);
    const { summary } = await cloud.stack.up({ policyPacks: [POLICY_PACK] });
    expect(summary.result).toBe('succeeded');
    expect(types(cloud)).toEqual(expect.arrayContaining(some));
    await cloud.stack.destroy({ excludeProtected: true });
    // Google's APIs stay switched on: they cost nothing by themselves.
    expect(types(cloud).filter((type) => !/^aws:s3\/|^gcp:storage\/bucket:|^gcp:projects\/service:/.test(type))).toEqual([]);
    expect(types(cloud).length).toBeGreaterThan(0);
  }, 300_000);
});
