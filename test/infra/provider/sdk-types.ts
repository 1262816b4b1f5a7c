// What a provider's SDK says of a resource's inputs, read from its declarations: they are generated from the provider's own schema, one
// interface per object, always laid out the same way.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseSync } from 'rolldown/utils';

const MODULES = join(import.meta.dirname, '..', '..', '..', 'node_modules', '@pulumi');

export type Type =
  | { readonly kind: 'string' | 'number' | 'boolean' | 'any' | 'undefined' }
  | { readonly kind: 'literal'; readonly value: unknown }
  | { readonly kind: 'array' | 'map'; readonly of: Type }
  | { readonly kind: 'union'; readonly of: readonly Type[] }
  | { readonly kind: 'object'; readonly name: string; readonly members: () => Members };

export type Members = ReadonlyMap<string, { readonly optional: boolean; readonly type: Type }>;

/** What of the parser's tree is looked at. */
interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** The inputs of the types of one package. */
export class SdkTypes {
  readonly #package: string;
  readonly #interfaces = new Map<string, Members>();
  #nested: Map<string, string> | null = null;

  constructor(name: string) {
    this.#package = name;
  }

  /** The inputs of a resource; null when the SDK has no such type. Tokens are as `aws:s3/bucket:Bucket`, `kubernetes:core/v1:Secret`. */
  inputsOf(token: string): Members | null {
    const [, module = '', name = ''] = token.split(':');
    if (!/^[\w./-]+$/.test(module) || module.includes('..')) return null;
    const file = declarations(join(MODULES, this.#package), this.#package === 'kubernetes' ? kubernetesFile(module, name) : module);
    if (file === null) return null;
    const text = readFileSync(file, 'utf8').split('\n');
    const start = text.indexOf(`export interface ${name}Args {`);
    return start < 0 ? null : this.#members(block(text, start));
  }

  /** The inputs of the provider itself. */
  providerInputs(): Members {
    const text = readFileSync(join(MODULES, this.#package, 'provider.d.ts'), 'utf8').split('\n');
    return this.#members(block(text, text.indexOf('export interface ProviderArgs {')));
  }

  #members(text: string): Members {
    const { program } = parseSync('inputs.d.ts', text, { lang: 'dts' });
    const [statement] = program.body as unknown as Node[];
    const declaration = (statement?.type === 'ExportNamedDeclaration' ? statement.declaration : statement) as Node;
    const members = new Map<string, { optional: boolean; type: Type }>();
    for (const member of (declaration.body as { body: Node[] }).body) {
      const key = member.key as { name?: string; value?: string };
      members.set(key.name ?? key.value ?? '', { optional: member.optional === true, type: this.#type(annotationOf(member)) });
    }
    return members;
  }

  #type(node: Node): Type {
    switch (node.type) {
      case 'TSStringKeyword':
        return { kind: 'string' };
      case 'TSNumberKeyword':
        return { kind: 'number' };
      case 'TSBooleanKeyword':
        return { kind: 'boolean' };
      case 'TSUndefinedKeyword':
        return { kind: 'undefined' };
      case 'TSLiteralType':
        return { kind: 'literal', value: (node.literal as { value: unknown }).value };
      case 'TSArrayType':
        return { kind: 'array', of: this.#type(node.elementType as Node) };
      case 'TSUnionType':
        return { kind: 'union', of: (node.types as Node[]).map((t) => this.#type(t)) };
      case 'TSTypeLiteral':
        return { kind: 'map', of: this.#type(annotationOf((node.members as Node[])[0])) };
      case 'TSTypeReference':
        return this.#reference(node);
      default:
        return { kind: 'any' };
    }
  }

  #reference(node: Node): Type {
    const path = qualified(node.typeName as Node);
    const [first] = path;
    if (first === 'pulumi' && path[1] === 'Input') return this.#type((node.typeArguments as { params: Node[] }).params[0] as Node);
    // An enumeration's values are open: clouds add to them.
    if (first === 'enums') return { kind: 'string' };
    if (first !== 'inputs') return { kind: 'any' };
    const name = path.slice(1).join('.');
    return { kind: 'object', name, members: () => this.#nestedMembers(name) };
  }

  #nestedMembers(name: string): Members {
    const known = this.#interfaces.get(name);
    if (known !== undefined) return known;
    this.#nested ??= nestedInterfaces(join(MODULES, this.#package, 'types', 'input.d.ts'));
    const text = this.#nested.get(name);
    if (text === undefined) throw new Error(`@pulumi/${this.#package} declares no inputs.${name}`);
    const members = this.#members(text);
    this.#interfaces.set(name, members);
    return members;
  }
}

/** The file of a module, whose name is the token's but for the case of its letters (`iAMMember` is in `iammember.d.ts`). */
function declarations(root: string, module: string): string | null {
  const directory = join(root, dirname(module));
  if (!existsSync(directory)) return null;
  const wanted = `${basename(module)}.d.ts`.toLowerCase();
  const found = readdirSync(directory).find((file) => file.toLowerCase() === wanted);
  return found === undefined ? null : join(directory, found);
}

/** `rbac.authorization.k8s.io/v1`, `ClusterRole` → `rbac/v1/clusterRole`. */
function kubernetesFile(module: string, name: string): string {
  const [group = '', version = ''] = module.split('/');
  return join(group.split('.')[0] ?? '', version, name);
}

/** The type after a member's colon. */
function annotationOf(member: Node | undefined): Node {
  return (member?.typeAnnotation as { typeAnnotation?: Node } | undefined)?.typeAnnotation ?? { type: 'TSAnyKeyword' };
}

function qualified(node: Node): string[] {
  return node.type === 'Identifier' ? [node.name as string] : [...qualified(node.left as Node), ...qualified(node.right as Node)];
}

/** The lines of a declaration that begins at `start`, up to the brace at the same depth. */
function block(lines: readonly string[], start: number): string {
  const indent = /^ */.exec(lines[start] ?? '')?.[0] ?? '';
  const end = lines.indexOf(`${indent}}`, start);
  return lines.slice(start, end + 1).join('\n');
}

/** Interfaces in namespaces, by their path: `s3.BucketLifecycleConfigurationRule`. */
function nestedInterfaces(file: string): Map<string, string> {
  const lines = readFileSync(file, 'utf8').split('\n');
  const path: string[] = [];
  const found = new Map<string, string>();
  lines.forEach((line, i) => {
    const depth = (/^ */.exec(line)?.[0].length ?? 0) / 4;
    const namespace = /^ *(?:export declare )?namespace (\w+) \{$/.exec(line)?.[1];
    if (namespace !== undefined) path.splice(depth, Number.POSITIVE_INFINITY, namespace);
    const name = /^ *(?:export )?interface (\w+) \{$/.exec(line)?.[1];
    if (name !== undefined) found.set([...path.slice(0, depth), name].join('.'), block(lines, i));
  });
  return found;
}
