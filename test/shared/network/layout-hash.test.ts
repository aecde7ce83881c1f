import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { layoutHash, littleEndianBytes, weightsSha256 } from '../../../shared/network/layout-hash.js';
import type { ArrayLayout } from '../../../shared/network/layout.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const layout = resnetLayout({
  shortcut: 'projection',
  convBias: true,
});

describe('layoutHash', () => {
  it('is the SHA-256 of one line per array', () => {
    const small = {
      ...layout,
      weights: [{ name: 'a/kernel', shape: [2, 3], offset: 0, size: 6 }],
      statistics: [{ name: 'b', shape: [4], offset: 6, size: 4 }],
    };
    expect(layoutHash(small)).toBe(createHash('sha256').update('a/kernel 2x3 0\nb 4 6\n').digest('hex'));
  });

  it('changes with the name, the shape and the offset of every array', () => {
    const changes: ((array: ArrayLayout) => ArrayLayout)[] = [
      (array) => ({ ...array, name: `${array.name}x` }),
      (array) => ({ ...array, shape: [...array.shape, 1] }),
      (array) => ({ ...array, offset: array.offset + 1 }),
    ];
    const hashes = new Set([layoutHash(layout)]);
    for (const change of changes) {
      const changed = (arrays: readonly ArrayLayout[], changedIndex: number) =>
        arrays.map((array, index) => (index === changedIndex ? change(array) : array));
      layout.weights.forEach((_, index) =>
        hashes.add(layoutHash({ ...layout, weights: changed(layout.weights, index) })),
      );
      layout.statistics.forEach((_, index) =>
        hashes.add(layoutHash({ ...layout, statistics: changed(layout.statistics, index) })),
      );
    }
    expect(hashes.size).toBe(1 + changes.length * (layout.weights.length + layout.statistics.length));
  });
});

describe('weightsSha256', () => {
  it('is the SHA-256 of the little-endian float32 values, weights first', () => {
    // In float32, 1 is 0x3f800000, -2 is 0xc0000000 and 0.5 is 0x3f000000.
    const bytes = Buffer.from('0000803f000000c00000003f', 'hex');
    const expected = createHash('sha256').update(bytes).digest('hex');
    expect(weightsSha256(Float32Array.of(1, -2), Float32Array.of(0.5))).toBe(expected);
  });

  it('distinguishes 0 from -0', () => {
    expect(weightsSha256(Float32Array.of(0), new Float32Array())).not.toBe(
      weightsSha256(Float32Array.of(-0), new Float32Array()),
    );
  });
});

describe('littleEndianBytes', () => {
  it('returns the bytes of a subarray without copying them', () => {
    const values = Float32Array.of(0, 1, -2);
    const bytes = littleEndianBytes(values.subarray(1, 2));
    expect(Buffer.from(bytes).toString('hex')).toBe('0000803f');
    values[1] = 0.5;
    expect(Buffer.from(bytes).toString('hex')).toBe('0000003f');
  });
});
