import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseReport } from './parse-report.ts';
import { ProtocolError } from './protocol-error.ts';
import { ReportInbox } from './report-inbox.ts';
import { checkpoint, report, TRAINING, worker, world } from './test-support.ts';

const parse = (text: string) => parseReport(Buffer.from(text));

describe('parsing a report', () => {
  it('takes what the protocol has', () => {
    const full = report({ resumedStep: 5, stepSeconds: 0.5, exitCode: 1, message: 'x', checkpoint: checkpoint(5) });
    expect(parse(JSON.stringify(full))).toEqual(full);
  });

  it.each([
    ['endless nesting', '['.repeat(60_000), 'MalformedJson'],
    ['closed nesting', `${'['.repeat(5_000)}${']'.repeat(5_000)}`, 'InvalidReport'],
    ['bytes that are no text', '\u0000\uffff', 'MalformedJson'],
    ['an infinite loss', JSON.stringify(report()).replace('2.5', '1e999'), 'InvalidReport'],
    ['a step beyond exact integers', JSON.stringify(report()).replace('"step":10', '"step":1e300'), 'InvalidReport'],
    ['a fraction of a step', JSON.stringify(report({ step: 1.5 })), 'InvalidReport'],
    ['a checkpoint without a step', JSON.stringify({ ...report(), checkpoint: { ...checkpoint(1), step: undefined } }), 'InvalidReport'],
    ['a time that is none', JSON.stringify(report({ checkpoint: { ...checkpoint(1), savedAt: 'yesterday' } })), 'InvalidReport'],
  ])('refuses %s', (_what, text, code) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code, status: 400 }));
  });

  it('does not send a huge field back', () => {
    const refuse = (): string => {
      try {
        parse(JSON.stringify({ ...report(), state: 'x'.repeat(50_000), ['y'.repeat(10_000)]: 1 }));
      } catch (error) {
        return (error as Error).message;
      }
      return 'x'.repeat(50_000);
    };
    expect(refuse().length).toBeLessThan(1_200);
  });

  it('names the first few fields that are wrong, not all', () => {
    expect(() => parse('{}')).toThrow(/^The report is not as the protocol has it: (\w+: [^;]+; ){4}\w+: [^;]+\.$/);
  });
});

describe('whatever a worker sends', () => {
  const fields = Object.keys(report({ resumedStep: 0, stepSeconds: 1, checkpoint: checkpoint(1), exitCode: 0, message: '' }));
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(-1, 0, 1, 2 ** 53, '', '__proto__', null, checkpoint(1), { ...checkpoint(1), uri: '..' }),
  );

  it('is taken or refused with a sentence', () => {
    const inbox = new ReportInbox({ now: () => 0, worldOf: () => world(1, ['a', 'b']) });
    const taken = fc.dictionary(fc.constantFrom(...fields), odd, { maxKeys: 4 });
    fc.assert(
      fc.property(taken, (changes) => {
        try {
          inbox.receive(TRAINING, worker('a'), parse(JSON.stringify({ ...report(), ...changes })));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          expect((error as ProtocolError).message).toMatch(/^\S.*\.$/s);
          expect((error as ProtocolError).status).toBeLessThan(500);
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it('is taken or refused, text or not', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(() => parse(text)).toThrow(ProtocolError);
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});
