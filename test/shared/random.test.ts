import { describe, expect, it } from 'vitest';
import { KeyedRandom, purposes, threefry2x32 } from '../../shared/random.js';

function threefryHex(...[key0, key1, counter0, counter1]: [number, number, number, number]): string {
  const out = new Uint32Array(2);
  threefry2x32(key0, key1, counter0, counter1, out);
  return [...out].map((word) => word.toString(16).padStart(8, '0')).join(' ');
}

describe('threefry2x32', () => {
  // Known answers for threefry2x32 with 20 rounds from Random123 (tests/kat_vectors): key, counter, result.
  it.each([
    [[0, 0], [0, 0], '6b200159 99ba4efe'],
    [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], '1cb996fc bb002be7'],
    [[0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3], 'c4923a9c 483df7a0'],
  ] as const)(
    'of key %s and counter %s is the known answer from Random123',
    ([key0, key1], [counter0, counter1], expected) => {
      expect(threefryHex(key0, key1, counter0, counter1)).toBe(expected);
    },
  );
});

describe('KeyedRandom', () => {
  it('generates the same numbers on every machine', () => {
    const random = new KeyedRandom(7, 'augmentation', 351, 3);
    expect([...random.wordsAt(0)]).toEqual([3194894954, 825636483]);
    expect([...random.wordsAt(1_000_000)]).toEqual([1800527713, 864484103]);
    // The upper 27 bits of the first word and the upper 26 bits of the second one make up the 53 bits of the number:
    // ((3194894954 >>> 5) × 2^26 + (825636483 >>> 6)) / 2^53.
    expect(random.uniformAt(0)).toBe(0.7438694476502647);
    expect([...new KeyedRandom(0, 'partition').permutation(12)]).toEqual([4, 2, 3, 11, 5, 6, 9, 1, 8, 0, 7, 10]);
  });

  it('returns the same number for a position on every call', () => {
    const forwards = new KeyedRandom(1, 'partition');
    const backwards = new KeyedRandom(1, 'partition');
    const positions = [0, 1, 2, 3, 4];
    const inOrder = positions.map((position) => forwards.uniformAt(position));
    const inReverse = positions.toReversed().map((position) => backwards.uniformAt(position));
    expect(inReverse.toReversed()).toEqual(inOrder);
  });

  it('generates different numbers for any other seed, purpose, major or minor index', () => {
    const keys = [
      new KeyedRandom(1, 'partition', 2, 3),
      new KeyedRandom(2, 'partition', 2, 3),
      new KeyedRandom(1, 'epochOrder', 2, 3),
      new KeyedRandom(1, 'partition', 3, 3),
      new KeyedRandom(1, 'partition', 2, 4),
      new KeyedRandom(1, 'partition', 3, 2),
    ];
    expect(new Set(keys.map((random) => random.uniformAt(0))).size).toBe(keys.length);
  });

  it('distinguishes seeds in all 53 bits', () => {
    const seeds = [1, 1 + 2 ** 32, 1 + 2 ** 52, 2 ** 53 - 1];
    expect(new Set(seeds.map((seed) => new KeyedRandom(seed, 'partition').uniformAt(0))).size).toBe(seeds.length);
  });

  it('assigns a distinct value to each purpose', () => {
    expect(new Set(Object.values(purposes)).size).toBe(Object.keys(purposes).length);
  });

  it('distributes uniform numbers evenly over [0, 1)', () => {
    const random = new KeyedRandom(0, 'synthesis');
    const count = 20_000;
    const bins = new Uint32Array(20);
    const uniforms = Array.from({ length: count }, (_, position) => random.uniformAt(position));
    for (const uniform of uniforms) bins[Math.floor(uniform * bins.length)] += 1;
    expect(Math.min(...uniforms)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...uniforms)).toBeLessThan(1);
    const sum = uniforms.reduce((a, b) => a + b);
    // The standard deviation of the mean is sqrt(1/12 / 20,000) = 0.002. The tolerance of 0.01 is five standard
    // deviations.
    expect(Math.abs(sum / count - 0.5)).toBeLessThan(0.01);
    // Each bin is expected to hold 1,000 numbers, with a standard deviation of sqrt(20,000 × 0.05 × 0.95) = 31. The
    // tolerance of 155 is five standard deviations.
    expect(Math.min(...bins)).toBeGreaterThan(845);
    expect(Math.max(...bins)).toBeLessThan(1155);
  });

  it('generates every integer below a limit, and no other', () => {
    const random = new KeyedRandom(0, 'synthesis');
    const seen = new Set(Array.from({ length: 500 }, (_, position) => random.integerAt(position, 7)));
    expect(seen).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
  });

  it.each([0, 1, 2, 3, 100, 1000])('permutes %i integers: each occurs once', (count) => {
    const order = new KeyedRandom(3, 'epochOrder', 1, 2).permutation(count);
    expect([...order].toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index));
  });

  it('generates each order of three integers about equally often', () => {
    const counts = new Map<string, number>();
    for (let major = 0; major < 6000; major++) {
      const order = new KeyedRandom(0, 'synthesis', major).permutation(3).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    // Each order is expected 1,000 times, with a standard deviation of sqrt(6,000 × 1/6 × 5/6) = 29. The tolerance of
    // 145 is five standard deviations.
    expect([...counts.keys()].toSorted()).toEqual(['012', '021', '102', '120', '201', '210']);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
  });
});
