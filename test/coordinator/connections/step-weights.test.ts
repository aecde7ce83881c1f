import { describe, expect, it } from 'vitest';
import { WeightsEncoder } from '../../../coordinator/connections/step-weights.js';
import { PublishedWeights } from '../../../coordinator/encoding/published-weights.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { decodeFrame, floatsOf } from '../../../shared/protocol/frame.js';

const statistics = Float32Array.of(7);

describe('WeightsEncoder', () => {
  it('uses the memory of an earlier frame only after all sockets have sent it', () => {
    const encoder = new WeightsEncoder();
    const first = encoder.encode(0, Float32Array.of(1, 2), statistics).frameFor('own', -1);
    first.pendingSends = 1;
    const second = encoder.encode(1, Float32Array.of(3, 4), statistics).frameFor('own', 0);
    expect(
      second.message.buffer === first.message.buffer && second.message.byteOffset === first.message.byteOffset,
    ).toBe(false);
    expect([...floatsOf(decodeFrame(first.message).payload, 3)]).toEqual([1, 2, 7]);
    first.pendingSends = 0;
    const third = encoder.encode(2, Float32Array.of(5, 6), statistics).frameFor('own', 1);
    expect([first.message, second.message]).toContain(third.message);
    expect(decodeFrame(third.message).header).toEqual({ type: 'weights', step: 2 });
    expect([...floatsOf(decodeFrame(third.message).payload, 3)]).toEqual([5, 6, 7]);
  });

  it('encodes weights once for all workers', () => {
    const weights = new WeightsEncoder().encode(3, Float32Array.of(1, 2), statistics);
    expect(weights.trainingKind).toBe('own');
    expect(weights.frameFor('own', 2)).toBe(weights.frameFor('own', -1));
  });
});

describe('published weights', () => {
  const array = { name: 'a', shape: [2], offset: 0, size: 2 };
  const layout = { weights: [array] } as unknown as ModelLayout;

  function publishing() {
    return new PublishedWeights(layout, { weights: Float32Array.of(1, 2), gradientScales: undefined });
  }

  it('travel whole at first, without gradient scales', () => {
    const weights = new WeightsEncoder().encode(0, Float32Array.of(1, 2), statistics, publishing());
    const { header, payload } = decodeFrame(weights.frameFor(weights.trainingKind, -1).message);
    expect(weights).toMatchObject({ trainingKind: 'published', gradientScales: undefined });
    expect(header).toEqual({ type: 'published-weights', step: 0, gradientEncoding: 'float32' });
    expect([...floatsOf(payload, 3)]).toEqual([1, 2, 7]);
  });

  it('travel as a difference to workers that have those of the round before, and whole to others', () => {
    const published = publishing();
    // The differences are 127 and 62, so the scale is 1. A largest gradient of 254 leads to a gradient scale of 3.
    const own = Float32Array.of(128, 64);
    // A round of three steps.
    published.follow(own, 2, Float32Array.of(254));
    const weights = new WeightsEncoder().encode(5, own, statistics, published);
    const difference = decodeFrame(weights.frameFor('published', 2).message);
    expect(difference.header).toEqual({ type: 'weights-difference', step: 5, fromStep: 2 });
    expect([...floatsOf(difference.payload.subarray(0, 12), 3)]).toEqual([1, 7, 3]);
    expect([...difference.payload.subarray(12)]).toEqual([127, 62]);
    for (const heldStep of [-1, 4]) {
      const { header, payload } = decodeFrame(weights.frameFor('published', heldStep).message);
      expect(header).toEqual({ type: 'published-weights', step: 5, gradientEncoding: 'int8' });
      expect([...floatsOf(payload, 4)]).toEqual([128, 64, 7, 3]);
    }
    expect(decodeFrame(weights.frameFor('own', 4).message).header).toEqual({ type: 'weights', step: 5 });
  });

  it('travel whole after a resume, because no worker has those of the step before', () => {
    const published = new PublishedWeights(layout, {
      weights: Float32Array.of(1, 2),
      gradientScales: Float32Array.of(3),
    });
    const weights = new WeightsEncoder().encode(9, Float32Array.of(1, 2), statistics, published);
    expect(decodeFrame(weights.frameFor('published', -1).message).header).toMatchObject({ gradientEncoding: 'int8' });
  });
});
