// The real `pulumi` command, driven by its Automation API, with providers of clouds that are not there and state in a directory.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { LocalWorkspace, PulumiCommand, type Stack } from '@pulumi/pulumi/automation/index.js';
import { toolPath } from '../cluster/tools.ts';
import { exampleSettings, program, type StackName } from './mocked.ts';
import { Store, type Thing } from './provider/store.ts';

const ROOT = join(import.meta.dirname, '..', '..');
export const POLICY_PACK = join(ROOT, 'infra', 'policy');

export interface Environment {
  readonly stack: Stack;
  /** What is in the clouds now. */
  things(): Thing[];
  remove(): void;
}

export interface EnvironmentOptions {
  /** A real API server for what goes into Kubernetes. */
  readonly kubernetes?: { readonly kubectl: string; readonly kubeconfig: string };
  /** Settings besides those of the example. */
  readonly secrets?: Readonly<Record<string, string>>;
}

/** A stack of its own with the example's settings. Nothing of it is left in the end but for what `remove` removes. */
export async function createEnvironment(stackName: StackName, { kubernetes, secrets = {} }: EnvironmentOptions = {}): Promise<Environment> {
  const directory = mkdtempSync(join(tmpdir(), `vicuna-infra-${stackName}-`));
  const plugins = join(directory, 'plugins');
  const cloud = join(directory, 'cloud');
  const state = join(directory, 'state');
  for (const d of [plugins, cloud, state]) mkdirSync(d);
  for (const name of ['aws', 'gcp', 'kubernetes'])
    executable(
      join(plugins, `pulumi-resource-${name}`),
      `exec "${process.execPath}" "${join(import.meta.dirname, 'provider', 'main.ts')}" ${name} "$@"`,
    );
  mkdirSync(join(directory, 'bin'));
  symlinkSync(toolPath('pulumi'), join(directory, 'bin', 'pulumi'));
  const envVars = {
    PATH: [plugins, join(POLICY_PACK, 'bin'), dirname(process.execPath), process.env.PATH].join(':'),
    PULUMI_HOME: join(directory, 'home'),
    PULUMI_CONFIG_PASSPHRASE: 'a passphrase for the test',
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    VICUNA_FAKE_CLOUD: cloud,
    ...(kubernetes ? { VICUNA_FAKE_KUBECTL: kubernetes.kubectl, VICUNA_FAKE_KUBECONFIG: kubernetes.kubeconfig } : {}),
  };
  const projectName = `vicuna-${stackName}`;
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName: 'example', projectName, program: await program(stackName) },
    {
      pulumiCommand: await PulumiCommand.get({ root: directory }),
      projectSettings: { name: projectName, runtime: 'nodejs', backend: { url: `file://${state}` } },
      envVars,
    },
  );
  const plain = Object.entries(exampleSettings(stackName)).map(([key, value]) => [key, { value }] as const);
  const secret = Object.entries(secrets).map(([key, value]) => [key, { value, secret: true }] as const);
  await stack.setAllConfig(Object.fromEntries([...plain, ...secret, ['pulumi:disable-default-providers', { value: '["*"]' }]]));
  return {
    stack,
    things: () => ['aws', 'gcp', 'kubernetes'].flatMap((name) => new Store(join(cloud, name)).all()),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function executable(file: string, command: string): void {
  writeFileSync(file, `#!/bin/sh\n${command}\n`);
  chmodSync(file, 0o755);
}
