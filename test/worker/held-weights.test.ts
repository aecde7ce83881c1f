import { describe, expect, it } from 'vitest';
import { WeightsEncoder } from '../../coordinator/connections/step-weights.js';
import { PublishedWeights } from '../../coordinator/encoding/published-weights.js';
import type { Encoding } from '../../shared/encoding/encodings.js';
import { ProtocolError } from '../../shared/errors.js';
import { decodeFrame } from '../../shared/protocol/frame.js';
import { parseCoordinatorMessage } from '../../shared/protocol/messages.js';
import { KeyedRandom } from '../../shared/random.js';
import { HeldWeights } from '../../worker/held-weights.js';
import { resnetLayout } from '../support/resnet-layout.js';
import { bitsOf } from '../support/tree-sum.js';

const layout = resnetLayout();
const arrayCount = layout.weights.length;
const statistics = new Float32Array(layout.statisticsSize).fill(0.5);

function noise(index: number): Float32Array {
  const random = new KeyedRandom(index, 'synthesis');
  return Float32Array.from({ length: layout.weightsSize }, (_, i) => random.uniformAt(i) - 0.5);
}

function receive(held: HeldWeights, frame: Uint8Array): void {
  const { header, payload } = decodeFrame(frame);
  const message = parseCoordinatorMessage(header);
  if (message.type === 'weights') held.receiveOwn(message.step, payload);
  else if (message.type === 'published-weights') held.receivePublished(message, payload);
  else if (message.type === 'weights-difference') held.receiveDifference(message, payload);
  else throw new Error(`unexpected ${message.type}`);
}

/** A coordinator that publishes new weights in each step. */
class Publisher {
  readonly published = new PublishedWeights(layout, { weights: noise(0), gradientScales: undefined });
  readonly #encoder = new WeightsEncoder();
  #own = noise(0);
  step = 0;

  update(): void {
    const change = noise(this.step + 100);
    this.#own = this.#own.map((value, i) => value + change[i] / 50);
    this.published.follow(this.#own, this.step, new Float32Array(arrayCount).fill(1 + this.step));
    this.step++;
  }

  frame(kind: 'own' | 'published', heldStep: number): Uint8Array {
    // Received messages are not shared with other workers.
    return this.#encoder
      .encode(this.step, this.#own, statistics, this.published)
      .frameFor(kind, heldStep)
      .message.slice();
  }
}

function holder(encoding: Encoding = 'int8'): HeldWeights {
  return new HeldWeights(layout, encoding);
}

describe('published weights', () => {
  it('have the same bits at the coordinator and at workers that joined at different steps', () => {
    const publisher = new Publisher();
    const [first, late] = [holder(), holder()];
    receive(first, publisher.frame('published', -1));
    expect(first.forTraining!.gradientScales).toBeUndefined();
    for (let step = 1; step <= 5; step++) {
      publisher.update();
      receive(first, publisher.frame('published', step - 1));
      if (step === 3) receive(late, publisher.frame('published', -1));
      if (step > 3) receive(late, publisher.frame('published', step - 1));
    }
    for (const { forTraining } of [first, late]) {
      expect(forTraining!.step).toBe(5);
      expect(bitsOf(forTraining!.values)).toEqual(bitsOf(publisher.published.weights));
      expect(forTraining!.gradientScales).toEqual(publisher.published.gradientScales);
      expect(forTraining!.movingStatistics).toEqual(statistics);
    }
  });

  it('and own weights do not replace each other', () => {
    const publisher = new Publisher();
    const held = holder();
    receive(held, publisher.frame('published', -1));
    publisher.update();
    receive(held, publisher.frame('own', -1));
    expect([held.forTraining!.step, held.forEvaluation!.step]).toEqual([0, 1]);
    receive(held, publisher.frame('published', 0));
    expect(bitsOf(held.forTraining!.values)).toEqual(bitsOf(publisher.published.weights));
    expect(bitsOf(held.forEvaluation!.values)).not.toEqual(bitsOf(held.forTraining!.values));
  });
});

describe('a worker rejects', () => {
  it('a difference to weights that it does not have', () => {
    const publisher = new Publisher();
    const held = holder();
    publisher.update();
    const difference = publisher.frame('published', 0);
    expect(() => receive(held, difference)).toThrow('this worker has no published weights');
    receive(held, publisher.frame('published', -1));
    expect(() => receive(held, difference)).toThrow('this worker has the published weights for step 1');
  });

  it('published weights in a run whose encoding is float32', () => {
    const publisher = new Publisher();
    expect(() => receive(holder('float32'), publisher.frame('published', -1))).toThrow(ProtocolError);
    publisher.update();
    expect(() => receive(holder('float32'), publisher.frame('published', 0))).toThrow(ProtocolError);
  });

  it('payloads of another size', () => {
    const held = holder();
    const whole = { type: 'published-weights', step: 0, gradientEncoding: 'int8' } as const;
    const bytes = 4 * (layout.weightsSize + layout.statisticsSize + arrayCount);
    expect(() => held.receivePublished(whole, new Uint8Array(bytes - 4))).toThrow(ProtocolError);
    held.receivePublished(whole, new Uint8Array(bytes));
    const difference = { type: 'weights-difference', step: 1, fromStep: 0 } as const;
    const differenceBytes = 4 * (2 * arrayCount + layout.statisticsSize) + layout.weightsSize;
    for (const wrong of [differenceBytes - 1, differenceBytes + 1]) {
      expect(() => held.receiveDifference(difference, new Uint8Array(wrong))).toThrow(ProtocolError);
    }
    held.receiveDifference(difference, new Uint8Array(differenceBytes));
  });

  it.each([NaN, Infinity, -1])('a scale of %d', (scale) => {
    const held = holder();
    const whole = { type: 'published-weights', step: 0, gradientEncoding: 'int8' } as const;
    const floats = new Float32Array(layout.weightsSize + layout.statisticsSize + arrayCount);
    floats[floats.length - 1] = scale;
    expect(() => held.receivePublished(whole, new Uint8Array(floats.buffer))).toThrow(
      `the coordinator sent a gradient scale of ${scale}`,
    );
  });
});
