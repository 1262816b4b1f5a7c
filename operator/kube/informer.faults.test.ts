import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Change, Informer } from './informer.ts';
import { FakeApiserver, type Verb } from './testing/fake-apiserver.ts';
import { THING, type Thing, thing, until } from './testing/things.ts';
import type { Fault } from './testing/watch-stream.ts';
import { POD } from './types.ts';

type Step =
  | { readonly do: 'put' | 'write'; readonly name: string; readonly late: boolean }
  | { readonly do: 'remove' | 'recreate'; readonly name: string }
  | { readonly do: 'tick' | 'bookmark' | 'compact' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'fail'; readonly verb: Verb; readonly fault: Fault }
  | { readonly do: 'break'; readonly fault: Fault };

const name = fc.constantFrom('a', 'b', 'ü', '🦙', 'e');
const status = fc.constantFrom(
  { kind: 'status', code: 429, retryAfter: 0 },
  { kind: 'status', code: 500 },
  { kind: 'status', code: 503 },
  { kind: 'status', code: 410, reason: 'Expired' },
  { kind: 'status', code: 401 },
) satisfies fc.Arbitrary<Fault>;
const broken: fc.Arbitrary<Fault> = fc.oneof(
  fc.constantFrom<Fault>({ kind: 'drop' }, { kind: 'silence' }, { kind: 'end' }, { kind: 'twice' }),
  fc.nat(400).map((after): Fault => ({ kind: 'cut', after })),
  fc.constantFrom<Fault>({ kind: 'error', code: 410, reason: 'Expired' }, { kind: 'error', code: 500, reason: 'InternalError' }),
);
const late = fc.integer({ min: 1, max: 8 }).map((ms): Fault => ({ kind: 'delay', ms }));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('put' as const, 'write' as const), name, late: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('remove' as const, 'recreate' as const), name }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('tick' as const, 'bookmark' as const, 'compact' as const) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(8) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      verb: fc.constant('list' as const),
      fault: fc.oneof(
        status,
        late,
        fc.constant<Fault>({ kind: 'drop' }),
        fc.nat(300).map((after): Fault => ({ kind: 'cut', after })),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('fail' as const), verb: fc.constant('watch' as const), fault: fc.oneof(status, late, broken) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('break' as const), fault: broken }) },
);

/** Everything about a set of objects, in one word. */
function print(objects: readonly Thing[]): string {
  const words = objects.map(({ metadata, spec }) => `${metadata.name}/${metadata.uid}/${metadata.resourceVersion}=${spec?.value}`);
  return words.sort().join(' ');
}

/** Follows an informer by its changes alone, and objects to any that cannot follow on the ones before. */
class Follower {
  readonly objects = new Map<string, Thing>();
  readonly complaints: string[] = [];

  readonly take = ({ type, object, old }: Change<Thing>): void => {
    const key = object.metadata.name;
    const known = this.objects.get(key);
    if (type === 'added' && known) this.complaints.push(`${key} added twice`);
    if (type !== 'added' && !known) this.complaints.push(`${key} ${type} but never added`);
    if (type === 'updated' && old !== known) this.complaints.push(`${key} updated from something else than it was`);
    if (type === 'updated' && old?.metadata.uid !== object.metadata.uid) this.complaints.push(`${key} turned into another object`);
    if (type === 'deleted') this.objects.delete(key);
    else this.objects.set(key, object);
  };
}

/** The server, what it held at any time, and a writer whose answers go into the informer as the operator's do. */
class Trial {
  readonly server: FakeApiserver;
  readonly things: Informer<Thing>;
  readonly follower = new Follower();
  readonly #states = new Set<string>();
  readonly #answers: Thing[] = [];
  #value = 0;
  complaint: string | null = null;

  constructor(server: FakeApiserver) {
    this.server = server;
    this.things = new Informer<Thing>({
      client: server.client(),
      type: THING,
      retryMs: [1, 4],
      silenceMs: 60,
      indexes: { name: (o) => [o.metadata.name] },
    });
    this.things.onChange(this.follower.take);
    this.note();
  }

  note(): void {
    this.#states.add(print(this.server.objects(THING) as Thing[]));
  }

  /** Writes as the operator does; the answer may reach the informer before or after the watch's news. */
  write(name: string, late: boolean): void {
    const answer = this.server.put(THING, thing(name, ++this.#value));
    this.note();
    if (late) this.#answers.push(answer);
    else this.things.upsert(answer);
  }

  deliverAnswers(): void {
    for (const answer of this.#answers.splice(0)) this.things.upsert(answer);
  }

  /** What must hold at any moment. */
  check(written: boolean): void {
    const seen = print(this.things.list());
    if (!this.things.hasSynced() && seen !== '') this.complaint ??= `not synced, but holds ${seen}`;
    // Own writes are in the store before what happened in between, so only without them is it a state that once was.
    if (this.things.hasSynced() && !written && !this.#states.has(seen)) this.complaint ??= `never was at the server: ${seen}`;
    if (seen !== print([...this.follower.objects.values()])) this.complaint ??= `changes told do not add up to ${seen}`;
    for (const object of this.things.list())
      if (this.things.byIndex('name', object.metadata.name)[0] !== object) this.complaint ??= `index lost ${object.metadata.name}`;
  }

  async perform(step: Step): Promise<void> {
    const { server } = this;
    if (step.do === 'put') server.put(THING, thing(step.name, ++this.#value));
    else if (step.do === 'write') this.write(step.name, step.late);
    else if (step.do === 'remove') server.remove(THING, 'default', step.name);
    else if (step.do === 'recreate') {
      server.remove(THING, 'default', step.name);
      this.note();
      server.put(THING, thing(step.name, ++this.#value));
    } else if (step.do === 'wait') await delay(step.ms);
    else if (step.do === 'fail') server.fail(step.verb, step.fault);
    else if (step.do === 'break') server.breakWatches(step.fault);
    else server[step.do]();
    this.note();
  }
}

async function trial(steps: readonly Step[], objectsBefore: number, chunk: number): Promise<void> {
  const server = await FakeApiserver.start(THING, POD);
  const stop = new AbortController();
  try {
    server.chunk = chunk;
    const t = new Trial(server);
    for (let i = 0; i < objectsBefore; i++) {
      server.put(THING, thing(`old-${i}`, i));
      t.note();
    }
    const written = steps.some((s) => s.do === 'write');
    let over = false;
    const watching = (async () => {
      for (; !over; await turn()) t.check(written);
    })();
    t.things.start(stop.signal);
    for (const s of steps) await t.perform(s);
    server.heal();
    t.deliverAnswers();
    await until(
      'the cache being what the server holds',
      () => t.things.hasSynced() && print(t.things.list()) === print(server.objects(THING) as Thing[]),
    );
    over = true;
    await watching;
    t.check(true);
    expect([t.complaint, t.follower.complaints]).toEqual([null, []]);
  } finally {
    stop.abort();
    await server.stop();
  }
}

const RUNS = Number(process.env.VICUNA_FAULT_RUNS ?? 120);

describe('whatever the server does', () => {
  it('the cache converges to what it holds, is never synced before, and tells changes that add up', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), fc.constantFrom(0, 3), fc.constantFrom(1, 7, 100, 100_000), trial),
      { numRuns: RUNS, seed: Number(process.env.VICUNA_FAULT_SEED ?? 1), endOnFailure: true },
    );
  }, 120_000);

  it('also with many pages, each of which may be slow, refused, cut off or expire', async () => {
    const faults = fc.array(
      fc.oneof(late, status, fc.constant<Fault>({ kind: 'drop' }), fc.constant<Fault>({ kind: 'cut', after: 5_000 })),
      { maxLength: 6 },
    );
    await fc.assert(
      fc.asyncProperty(faults, fc.integer({ min: 501, max: 1_501 }), async (list, count) => {
        const steps = list.map((fault): Step => ({ do: 'fail', verb: 'list', fault }));
        const meanwhile: Step[] = [
          { do: 'wait', ms: 3 },
          { do: 'put', name: 'a', late: false },
          { do: 'compact' },
          { do: 'remove', name: 'a' },
        ];
        await trial([...steps, ...meanwhile], count, 100_000);
      }),
      { numRuns: Math.ceil(RUNS / 10), seed: Number(process.env.VICUNA_FAULT_SEED ?? 1), endOnFailure: true },
    );
  }, 120_000);
});
