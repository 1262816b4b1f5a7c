// The policy pack: `PATH=$PWD/../policy/bin:$PATH pulumi preview --policy-pack ../policy`.
import { PolicyPack, type ResourceValidationPolicy, type StackValidationPolicy } from '@pulumi/policy';
import { RESOURCE_RULES, type Resource, STACK_RULES } from './rules.ts';

interface PolicyResource {
  readonly type: string;
  readonly name: string;
  readonly props: Record<string, unknown>;
  readonly opts: { readonly protect: boolean };
}

const resourceOf = ({ type, name, props, opts }: PolicyResource): Resource => ({ type, name, properties: props, protect: opts.protect });

const ofResources: ResourceValidationPolicy[] = RESOURCE_RULES.map(({ name, description, check }) => ({
  name,
  description,
  enforcementLevel: 'mandatory',
  validateResource: (args, report) => {
    for (const problem of check(resourceOf(args))) report(`${args.name} ${problem}.`);
  },
}));

const ofStacks: StackValidationPolicy[] = STACK_RULES.map(({ name, description, check }) => ({
  name,
  description,
  enforcementLevel: 'mandatory',
  validateStack: (args, report) => {
    for (const problem of check(args.resources.map(resourceOf))) report(`${problem}.`);
  },
}));

new PolicyPack('vicuna', { policies: [...ofResources, ...ofStacks] });
