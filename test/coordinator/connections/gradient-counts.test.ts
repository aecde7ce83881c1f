import { describe, expect, it } from 'vitest';
import { assertContributions } from '../../../coordinator/connections/gradient-counts.js';

const phases = { waitMs: 0, augmentMs: 0, computeMs: 0, reduceMs: 0, sendMs: 0 };
const gradientOf = (...images: number[]) => ({
  type: 'gradient' as const,
  step: 0,
  range: { first: 2, count: 2 },
  sampleCount: 16,
  slices: [],
  phases,
  contributions: images.map((count, index) => ({ name: `w${index}`, images: count, phases })),
});

describe('the contributions to a gradient', () => {
  it('come from relays and add up to its images', () => {
    expect(() => assertContributions(gradientOf(8, 8), true)).not.toThrow();
    expect(() => assertContributions(gradientOf(16), true)).not.toThrow();
    expect(() => assertContributions(gradientOf(8, 7), true)).toThrow(
      'a relay reports 2 contributions of 15 images in all to slices 2 to 3, which has 16',
    );
    expect(() => assertContributions(gradientOf(8, 4, 4), true)).toThrow('a relay reports 3 contributions');
    expect(() => assertContributions(gradientOf(16), false)).toThrow('a worker that is not a relay');
  });
});
