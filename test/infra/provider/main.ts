// A provider plugin for the engine, of a cloud that is not there: `main.ts PACKAGE ENGINE_ADDRESS`. It refuses types that the SDK lacks,
// properties that are unknown, missing or of another type, things that exist already, and removals of what is still in use.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { answer, computed } from '../computed.ts';
import { deeplyPlain, isUnknown, type Problem, problemsOf, UNKNOWN } from './check.ts';
import { isCustomKind, type KubeObject, RealCluster } from './kubernetes.ts';
import { SdkTypes } from './sdk-types.ts';
import { type Cloud, type Properties, serve } from './server.ts';
import { Store } from './store.ts';

/** Where the inputs of a thing are kept in its outputs, to be compared with the next ones. */
const INPUTS = '__inputs';

class FakeCloud implements Cloud {
  /** That of the SDK, which the engine compares it with. */
  readonly version: string;
  readonly #package: string;
  readonly #types: SdkTypes;
  readonly #store: Store;
  readonly #cluster: RealCluster | null;

  constructor(name: string, env: NodeJS.ProcessEnv) {
    if (env.VICUNA_FAKE_CLOUD === undefined) throw new Error('VICUNA_FAKE_CLOUD names no directory');
    this.version = createRequire(import.meta.url)(`@pulumi/${name}/package.json`).version.replace(/^v/, '');
    this.#package = name;
    this.#types = new SdkTypes(name);
    this.#store = new Store(`${env.VICUNA_FAKE_CLOUD}/${name}`);
    const { VICUNA_FAKE_KUBECTL: kubectl, VICUNA_FAKE_KUBECONFIG: kubeconfig } = env;
    this.#cluster = name === 'kubernetes' && kubectl && kubeconfig ? new RealCluster(kubectl, kubeconfig) : null;
  }

  checkConfig(inputs: Properties): Problem[] {
    // Values come as texts here, whatever they are.
    const known = this.#types.providerInputs();
    return Object.keys(inputs)
      .filter((key) => !known.has(key) && key !== 'version' && !key.startsWith('__'))
      .map((property) => ({ property, reason: 'there is no such property' }));
  }

  check(urn: string, inputs: Properties): Problem[] {
    const { type } = parts(urn);
    const members = this.#types.inputsOf(type);
    if (members !== null) return problemsOf(members, inputs);
    const isCustom = this.#package === 'kubernetes' && isCustomKind(type);
    return isCustom ? [] : [{ property: '', reason: `@pulumi/${this.#package} has no type ${type}` }];
  }

  isChanged(outputs: Properties, inputs: Properties): boolean {
    return JSON.stringify(sorted(outputs[INPUTS])) !== JSON.stringify(sorted(inputs));
  }

  async create(urn: string, inputs: Properties, preview: boolean) {
    const { type, name } = parts(urn);
    const id = identifier(type, urn);
    if (preview) return { id, outputs: this.#foreseen(type, name, inputs) };
    const plain = known(inputs, urn);
    if (this.#isReal(type)) await this.#cluster?.apply(plain as unknown as KubeObject);
    this.#store.add({ type, id, inputs: plain });
    return { id, outputs: this.#outputs(type, name, inputs, plain) };
  }

  async update(id: string, urn: string, inputs: Properties, preview: boolean): Promise<Properties> {
    const { type, name } = parts(urn);
    if (preview) return this.#foreseen(type, name, inputs);
    const plain = known(inputs, urn);
    if (this.#isReal(type)) await this.#cluster?.apply(plain as unknown as KubeObject);
    this.#store.replace({ type, id, inputs: plain });
    return this.#outputs(type, name, inputs, plain);
  }

  async delete(id: string, urn: string, outputs: Properties): Promise<void> {
    this.#store.remove(id);
    if (this.#isReal(parts(urn).type)) await this.#cluster?.delete(deeplyPlain(outputs[INPUTS]) as KubeObject);
  }

  invoke(token: string, args: Properties): Properties {
    return answer(token, args);
  }

  /** Releases are installed by Helm, and Google's own kinds are served by Google's clusters only. */
  #isReal(type: string): boolean {
    return this.#cluster !== null && !/helm\.sh|gateway\.networking|networking\.gke/.test(type);
  }

  /** Before it is made, a thing is known by what was asked for. */
  #foreseen(type: string, name: string, inputs: Properties): Properties {
    return masked(computed(type, name, deeplyPlain(inputs) as Properties), inputs) as Properties;
  }

  #outputs(type: string, name: string, inputs: Properties, plain: Properties): Properties {
    return { ...inputs, ...computed(type, name, plain), [INPUTS]: inputs };
  }
}

function parts(urn: string): { type: string; name: string } {
  const [, , qualified = '', ...name] = urn.split('::');
  return { type: qualified.split('$').at(-1) ?? '', name: name.join('::') };
}

/** Unlike any other text, so that a search for it finds what refers to the thing and nothing else. */
function identifier(type: string, urn: string): string {
  return `${type.split(':').at(-1)?.toLowerCase()}-${createHash('sha256').update(urn).digest('hex').slice(0, 12)}`;
}

/** Inputs without marks. When something is made, everything about it is known. */
function known(inputs: Properties, urn: string): Properties {
  const value = deeplyPlain(inputs) as Properties;
  const look = (v: unknown): void => {
    if (isUnknown(v)) throw new Error(`${urn} is made before all of its inputs are known`);
    if (typeof v === 'object' && v !== null) Object.values(v).forEach(look);
  };
  look(value);
  return value;
}

/** `value` with everything unknown that `asked` does not say. */
function masked(value: unknown, asked: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return asked ?? UNKNOWN;
  const of = (asked ?? {}) as Properties;
  if (asked === undefined) return UNKNOWN;
  const keys = new Set([...Object.keys(value), ...Object.keys(of)]);
  return Object.fromEntries([...keys].map((key) => [key, masked((value as Properties)[key] ?? null, of[key])]));
}

/** With keys in one order, so that equal values are equal texts. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([k, v]) => [k, sorted(v)]),
  );
}

const [name = ''] = process.argv.slice(2);
await serve(new FakeCloud(name, process.env));
