import { describe, expect, it } from 'vitest';
import { WeightsEncoder } from '../../../coordinator/connections/step-weights.js';
import { decodeFrame, floatsOf } from '../../../shared/protocol/frame.js';

const statistics = Float32Array.of(7);

describe('WeightsEncoder', () => {
  it('uses the memory of an earlier frame only after all sockets have sent it', () => {
    const encoder = new WeightsEncoder();
    const first = encoder.encode(0, Float32Array.of(1, 2), statistics).frameFor('own', -1);
    first.pendingSends = 1;
    const second = encoder.encode(1, Float32Array.of(3, 4), statistics).frameFor('own', -1);
    expect(
      second.message.buffer === first.message.buffer && second.message.byteOffset === first.message.byteOffset,
    ).toBe(false);
    expect([...floatsOf(decodeFrame(first.message).payload, 3)]).toEqual([1, 2, 7]);
    first.pendingSends = 0;
    const third = encoder.encode(2, Float32Array.of(5, 6), statistics).frameFor('own', -1);
    expect([first.message, second.message]).toContain(third.message);
    expect(decodeFrame(third.message).header).toEqual({ type: 'weights', step: 2 });
    expect([...floatsOf(decodeFrame(third.message).payload, 3)]).toEqual([5, 6, 7]);
  });
});
