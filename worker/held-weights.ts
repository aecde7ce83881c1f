// The weights that a worker holds: the coordinator's own ones, with which it evaluates, and in a run with int8 encoding
// the published ones, with which it computes gradients.
import type { Encoding } from '../shared/encoding/encodings.js';
import { weightsBytes } from '../shared/encoding/exchange-size.js';
import { addScaled } from '../shared/encoding/scaled-values.js';
import { ProtocolError } from '../shared/errors.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { floatsOf } from '../shared/protocol/frame.js';
import type { PublishedWeightsMessage, WeightsDifferenceMessage } from '../shared/protocol/messages.js';
import { ownMemoryOf } from '../shared/protocol/own-memory.js';

/** Weights for one step. */
export interface Weights {
  step: number;
  values: Float32Array;
  movingStatistics: Float32Array;
  /** Scales of the step's gradients; undefined if they travel in float32. */
  gradientScales?: Float32Array | undefined;
}

export class HeldWeights {
  readonly #layout: ModelLayout;
  readonly #encoding: Encoding;
  #own: (Weights & { memory: ArrayBuffer | undefined }) | undefined;
  #published: Weights | undefined;

  constructor(layout: ModelLayout, encoding: Encoding) {
    this.#layout = layout;
    this.#encoding = encoding;
  }

  /** The weights for evaluations. */
  get forEvaluation(): Weights | undefined {
    return this.#own;
  }

  /** The weights for gradients. */
  get forTraining(): Weights | undefined {
    return this.#encoding === 'float32' ? this.#own : this.#published;
  }

  /**
   * Stores the coordinator's own weights.
   * @returns memory of the previous ones, which can be used again
   */
  receiveOwn(step: number, payload: Uint8Array): ArrayBuffer | undefined {
    const { weightsSize, statisticsSize } = this.#layout;
    const values = floatsOf(payload, weightsSize + statisticsSize);
    const previous = this.#own?.memory;
    this.#own = {
      step,
      values: values.subarray(0, weightsSize),
      movingStatistics: values.subarray(weightsSize),
      memory: ownMemoryOf(payload),
    };
    return previous;
  }

  /** Stores a copy of published weights. */
  receivePublished({ step, gradientEncoding }: PublishedWeightsMessage, payload: Uint8Array): void {
    this.#assertPublishing('published-weights');
    const { weights, weightsSize, statisticsSize } = this.#layout;
    const scalesSize = gradientEncoding === 'float32' ? 0 : weights.length;
    const floats = floatsOf(payload, weightsSize + statisticsSize + scalesSize);
    const scalesAt = weightsSize + statisticsSize;
    this.#published = {
      step,
      values: floats.slice(0, weightsSize),
      movingStatistics: floats.slice(weightsSize, scalesAt),
      gradientScales: scalesSize === 0 ? undefined : checkedScales(floats.slice(scalesAt), 'gradient'),
    };
  }

  /** Adds a difference to the published weights. */
  receiveDifference({ step, fromStep }: WeightsDifferenceMessage, payload: Uint8Array): void {
    this.#assertPublishing('weights-difference');
    const held = this.#published;
    if (held === undefined || held.step !== fromStep) {
      const actual = held === undefined ? 'no published weights' : `the published weights for step ${held.step}`;
      throw new ProtocolError(`the weights difference for step ${step} arrived, but this worker has ${actual}`);
    }
    const { weights: arrays, weightsSize, statisticsSize } = this.#layout;
    const floatsSize = 2 * arrays.length + statisticsSize;
    const expectedBytes = weightsBytes(this.#layout, 'int8');
    if (payload.length !== expectedBytes) {
      throw new ProtocolError(`expected a payload of ${expectedBytes} bytes, received ${payload.length}`);
    }
    const floats = floatsOf(payload.subarray(0, 4 * floatsSize), floatsSize);
    const integers = new Int8Array(payload.buffer, payload.byteOffset + 4 * floatsSize, weightsSize);
    const statisticsAt = arrays.length;
    const scalesAt = statisticsAt + statisticsSize;
    addScaled(held.values, integers, checkedScales(floats.subarray(0, statisticsAt), 'weight'), arrays);
    this.#published = {
      step,
      values: held.values,
      movingStatistics: floats.slice(statisticsAt, scalesAt),
      gradientScales: checkedScales(floats.slice(scalesAt), 'gradient'),
    };
  }

  #assertPublishing(type: string): void {
    if (this.#encoding !== 'float32') return;
    throw new ProtocolError(`${type} arrived in a run whose encoding is float32`);
  }
}

function checkedScales(scales: Float32Array, what: string): Float32Array {
  const wrong = scales.find((scale) => !(scale >= 0 && scale < Infinity));
  if (wrong === undefined) return scales;
  throw new ProtocolError(
    `the coordinator sent a ${what} scale of ${wrong}, which must be a finite number of at least 0`,
  );
}
