// The real `pulumi` command, driven by its Automation API, with providers of clouds that are not there and state in a directory.
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LocalWorkspace, PulumiCommand, type Stack } from '@pulumi/pulumi/automation/index.js';
import { parse } from 'yaml';
import { toolPath } from '../cluster/tools.ts';
import type { StackName } from './mocked.ts';
import { Store, type Thing } from './provider/store.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const STACK = 'example';
export const POLICY_PACK = join(ROOT, 'infra', 'policy');

export interface Environment {
  readonly stack: Stack;
  /** What is in the clouds now. */
  things(): Thing[];
  /** What of the stack is written down: its state and its settings. */
  files(): string[];
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
  const project = parse(readFileSync(join(ROOT, 'infra', stackName, 'Pulumi.yaml'), 'utf8'));
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName: STACK, projectName: project.name, program: entry(stackName) },
    {
      pulumiCommand: await PulumiCommand.get({ root: directory }),
      projectSettings: { name: project.name, config: project.config, runtime: 'nodejs', backend: { url: `file://${state}` } },
      envVars,
    },
  );
  // The example as it is, as a person would copy it, below the salt that the command has written there.
  const settings = readFileSync(join(ROOT, 'infra', stackName, `Pulumi.${STACK}.yaml`));
  appendFileSync(join(stack.workspace.workDir, `Pulumi.${STACK}.yaml`), settings);
  await stack.setAllConfig(Object.fromEntries(Object.entries(secrets).map(([key, value]) => [key, { value, secret: true }])));
  return {
    stack,
    things: () => ['aws', 'gcp', 'kubernetes'].flatMap((name) => new Store(join(cloud, name)).all()),
    files: () => [...textsBelow(state), ...textsBelow(stack.workspace.workDir)],
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** The very file that `pulumi up` runs, evaluated anew at every run. */
function entry(stackName: StackName): () => Promise<Record<string, unknown>> {
  const file = pathToFileURL(join(ROOT, 'infra', stackName, 'index.ts')).href;
  let runs = 0;
  return async () => ({ ...(await import(`${file}?run=${runs++}`)) });
}

function textsBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => readFileSync(join(file.parentPath, file.name), 'utf8'));
}

function executable(file: string, command: string): void {
  writeFileSync(file, `#!/bin/sh\n${command}\n`);
  chmodSync(file, 0o755);
}
