// Runs a stack's program with Pulumi's mocks: no engine, no cloud; what it would make comes back as a list.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as pulumi from '@pulumi/pulumi';
import { parse } from 'yaml';
import { answer, computed } from './computed.ts';

export interface Made {
  readonly type: string;
  readonly name: string;
  // Properties are of as many shapes as there are types: tests look into them with their own expectations.
  readonly inputs: Record<string, unknown>;
  readonly protect: boolean;
  readonly provider: string;
}

export interface Ran {
  readonly resources: readonly Made[];
  readonly outputs: Record<string, unknown>;
}

export const STACKS = ['aws', 'gcp', 'multi'] as const;
export type StackName = (typeof STACKS)[number];

/** The settings of the example that lies beside the program, as the engine hands them to it: texts. */
export function exampleSettings(stack: StackName): Record<string, string> {
  const file = join(import.meta.dirname, '..', '..', 'infra', stack, 'Pulumi.example.yaml');
  const { config } = parse(readFileSync(file, 'utf8')) as { config: Record<string, unknown> };
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]));
}

export async function program(stack: StackName): Promise<() => Promise<Record<string, unknown>>> {
  switch (stack) {
    case 'aws':
      return (await import('../../infra/aws/program.ts')).awsProgram;
    case 'gcp':
      return (await import('../../infra/gcp/program.ts')).gcpProgram;
    case 'multi':
      return (await import('../../infra/multi/program.ts')).multiProgram;
  }
}

/** Runs the program of a stack with these settings; those of the example by default. */
export async function runMocked(
  stack: StackName,
  settings: Record<string, string> = exampleSettings(stack),
  secrets: readonly string[] = [],
): Promise<Ran> {
  const made: Omit<Made, 'protect'>[] = [];
  const instances = new Map<string, pulumi.Resource>();
  await mock(stack, settings, secrets, made);
  const run = await program(stack);
  const returned = await pulumi.runtime.runInPulumiStack(() => {
    pulumi.runtime.registerStackTransformation(({ resource, type, name }) => {
      instances.set(`${type} ${name}`, resource);
      return undefined;
    });
    return run();
  });
  await pulumi.runtime.disconnect();
  const resources = made.map((m) => ({ ...m, protect: isProtected(instances.get(`${m.type} ${m.name}`)) }));
  return { resources, outputs: await settled(returned as Record<string, unknown>) };
}

/** What the program says of settings that it refuses, before it makes anything. */
export async function refusal(stack: StackName, settings: Record<string, string>): Promise<string> {
  await mock(stack, settings, [], []);
  const run = await program(stack);
  return run().then(
    () => 'accepted',
    (error: Error) => error.message,
  );
}

async function mock(
  stack: StackName,
  settings: Record<string, string>,
  secrets: readonly string[],
  made: Omit<Made, 'protect'>[],
): Promise<void> {
  await pulumi.runtime.setMocks(
    {
      newResource({ type, name, inputs, provider }) {
        made.push({ type, name, inputs, provider: provider ?? '' });
        return { id: `${name}-id`, state: { ...inputs, ...computed(type, name, inputs) } };
      },
      call: ({ token, inputs }) => answer(token, inputs),
    },
    `vicuna-${stack}`,
    'example',
    false,
  );
  pulumi.runtime.setAllConfig(settings, [...secrets]);
}

/** Pulumi tells mocks nothing of the protection that children have from their parents; the resource itself knows. */
function isProtected(resource: pulumi.Resource | undefined): boolean {
  return (resource as { __protect?: boolean } | undefined)?.__protect === true;
}

async function settled(values: Record<string, unknown>): Promise<Record<string, unknown>> {
  const wait = (output: pulumi.Output<unknown>) => new Promise((resolve) => output.apply(resolve));
  const entries = Object.entries(values).map(async ([key, value]): Promise<[string, unknown]> => [key, await wait(pulumi.output([value]))]);
  return Object.fromEntries((await Promise.all(entries)).map(([key, value]) => [key, (value as unknown[])[0]]));
}
