import { describe, expect, it } from 'vitest';
import { BLANK_MEMORY, type CapacityMemory, type CapacityObservation, remainingLifeHours, remember } from './capacity-memory.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const MINUTE = 60_000;

function memoryAfter(...observations: readonly CapacityObservation[]): CapacityMemory {
  return observations.reduce((memory, observation) => remember(memory, observation, NOW), BLANK_MEMORY);
}

const interrupted = (hours: number): CapacityObservation => ({ kind: 'interrupted', livedSeconds: hours * 3_600 });
const released = (hours: number): CapacityObservation => ({ kind: 'released', livedSeconds: hours * 3_600 });
const dry: CapacityObservation = { kind: 'noCapacity' };
const times = (count: number, observation: CapacityObservation) => Array.from({ length: count }, () => observation);

const blockMinutes = (memory: CapacityMemory) => ((memory.blockedUntil ?? NOW) - NOW) / MINUTE;

describe('a pool without capacity', () => {
  it('is blocked for a minute, doubling to an hour, until a launch works', () => {
    const blocks = [1, 2, 3, 6, 7, 20].map((failures) => blockMinutes(memoryAfter(...times(failures, dry))));
    expect(blocks).toEqual([1, 2, 4, 32, 60, 60]);
    expect(remember(memoryAfter(dry, dry), { kind: 'launched' }, NOW)).toMatchObject({
      blockedUntil: null,
      failuresInARow: 0,
      launched: 1,
      noCapacity: 2,
    });
  });

  it('is tried again when a node joins, and blocked for longer when that does not help', () => {
    const joined = memoryAfter(dry, { kind: 'nodeJoined' });
    expect(joined.blockedUntil).toBeNull();
    expect(blockMinutes(remember(joined, dry, NOW))).toBe(2);
    const again = remember(joined, { kind: 'nodeJoined' }, NOW + 1);
    expect(remember(again, { kind: 'nodeJoined' }, NOW + 2)).toBe(again);
  });

  it('is tried again sooner where nodes come and go quickly', () => {
    const volatile = times(40, interrupted(0.5));
    expect(blockMinutes(memoryAfter(...volatile, ...times(9, dry)))).toBeGreaterThan(5);
    expect(blockMinutes(memoryAfter(...volatile, ...times(9, dry)))).toBeLessThan(15);
    expect(blockMinutes(memoryAfter(...times(40, interrupted(0.01)), ...times(9, dry)))).toBe(5);
  });

  it('starts over with a short block when the last failure lies far back', () => {
    const memory = memoryAfter(...times(5, dry));
    const later = (memory.blockedUntil ?? 0) + 61 * MINUTE;
    expect(remember(memory, dry, later)).toMatchObject({ failuresInARow: 1, blockedUntil: later + MINUTE });
    const soon = (memory.blockedUntil ?? 0) + 59 * MINUTE;
    expect(remember(memory, dry, soon)).toMatchObject({ failuresInARow: 6, blockedUntil: soon + 32 * MINUTE });
  });
});

describe('expected remaining life', () => {
  it('is the prior at first, shorter after short lives, longer after long ones', () => {
    expect(remainingLifeHours(BLANK_MEMORY)).toBe(12);
    expect(remainingLifeHours(memoryAfter(interrupted(0.5)))).toBe(12.5 / 2);
    expect(remainingLifeHours(memoryAfter(interrupted(100)))).toBe(56);
  });

  it('grows with every hour that a node was held and given up in good health', () => {
    expect(remainingLifeHours(memoryAfter(released(12)))).toBe(24);
    expect(memoryAfter(released(12))).toMatchObject({ interruptions: 0, observedHours: 12 });
  });

  it('counts an interruption whose life nobody measured', () => {
    expect(memoryAfter({ kind: 'interrupted' })).toMatchObject({ interruptions: 1, observedHours: 0, lives: [] });
  });

  it('goes by the age of the node once enough lives were seen', () => {
    // Nine in ten go in their first half hour; who outlives it stays for twenty hours.
    const memory = memoryAfter(...Array.from({ length: 40 }, (_, i) => interrupted(i % 10 === 0 ? 20 : 0.5)));
    expect(remainingLifeHours(memory, 0)).toBeLessThan(9);
    expect(remainingLifeHours(memory, 1)).toBeGreaterThan(19);
    const few = memoryAfter(...times(7, interrupted(0.5)));
    expect(remainingLifeHours(few, 0)).toBe(remainingLifeHours(few, 10));
  });

  it('forgets lives older than the last 64', () => {
    const memory = memoryAfter(...times(100, interrupted(0.1)), ...times(64, interrupted(5)));
    expect(memory.lives).toHaveLength(64);
    expect(memory.lives.every((life) => life.hours === 5)).toBe(true);
    expect(remainingLifeHours(memory)).toBeGreaterThan(5);
  });
});

describe('memory in the status', () => {
  it('outlives the operator as JSON', () => {
    const memory = memoryAfter(interrupted(1.23456), dry, released(3), { kind: 'launched' }, dry);
    expect(JSON.parse(JSON.stringify(memory))).toEqual(memory);
  });

  it('may come from an operator that kept no lives yet', () => {
    const { lives: _, ...older } = memoryAfter(dry);
    expect(remember({ ...BLANK_MEMORY, ...older }, interrupted(1), NOW)).toMatchObject({ noCapacity: 1, interruptions: 1 });
  });
});
