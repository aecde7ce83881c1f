// The weights that a relay has received, as frames for its workers: the messages as they arrived, and for a worker that
// lacks the published weights of the round before, a message with all of them.
import type { SharedFrame, StepWeights } from '../coordinator/connections/step-weights.js';
import type { Encoding } from '../shared/encoding/encodings.js';
import { sumEncodingOf } from '../shared/encoding/partial-sum.js';
import { littleEndianBytes } from '../shared/network/layout-hash.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { encodeFrame } from '../shared/protocol/frame.js';
import type {
  CoordinatorMessage,
  PublishedWeightsMessage,
  WeightsDifferenceMessage,
} from '../shared/protocol/messages.js';
import { ownMemoryOf } from '../shared/protocol/own-memory.js';
import { HeldWeights } from '../worker/held-weights.js';

export class RelayedWeights {
  readonly #encoding: Encoding;
  readonly #held: HeldWeights;
  readonly #reuse: (memory: ArrayBuffer) => void;
  /** Frames that arrived, by kind. */
  readonly #frames = new Map<'own' | 'published', SharedFrame>();
  #evaluation: StepWeights | undefined;
  #training: StepWeights | undefined;

  /** @param reuse lets later messages use the memory of an earlier one */
  constructor(layout: ModelLayout, encoding: Encoding, reuse: (memory: ArrayBuffer) => void) {
    this.#encoding = encoding;
    this.#held = new HeldWeights(layout, encoding);
    this.#reuse = reuse;
  }

  /** The coordinator's own weights, for evaluations. */
  get forEvaluation(): StepWeights | undefined {
    return this.#evaluation;
  }

  /** The weights for gradients. */
  get forTraining(): StepWeights | undefined {
    return this.#encoding === 'float32' ? this.#evaluation : this.#training;
  }

  /** Receives the coordinator's own weights. Throws ProtocolError if their size is wrong. */
  receiveOwn(step: number, payload: Uint8Array, message: Uint8Array): void {
    this.#held.receiveOwn(step, payload);
    const own = this.#keep('own', message);
    const trainingKind = this.#encoding === 'float32' ? 'own' : 'published';
    const sumEncoding = sumEncodingOf(this.#encoding, undefined);
    this.#evaluation = { step, trainingKind, sumEncoding, gradientScales: undefined, frameFor: () => own };
  }

  /** Receives published weights. Throws ProtocolError like receiveOwn. */
  receivePublished(header: PublishedWeightsMessage, payload: Uint8Array, message: Uint8Array): void {
    this.#held.receivePublished(header, payload);
    const whole = this.#keep('published', message);
    this.#train(header.step, () => whole);
  }

  /** Receives the difference to the published weights of the round before. Throws ProtocolError like receiveOwn. */
  receiveDifference(header: WeightsDifferenceMessage, payload: Uint8Array, message: Uint8Array): void {
    const { step, fromStep } = header;
    this.#held.receiveDifference(header, payload);
    const difference = this.#keep('published', message);
    let whole: SharedFrame | undefined;
    this.#train(step, (heldStep) => {
      if (heldStep === fromStep) return difference;
      whole ??= { message: this.#encodeWhole(step), pendingSends: 0 };
      return whole;
    });
  }

  #train(step: number, frameOfPublished: (heldStep: number) => SharedFrame): void {
    const { gradientScales } = this.#held.forTraining!;
    const frameFor: StepWeights['frameFor'] = (_kind, heldStep) => frameOfPublished(heldStep);
    const sumEncoding = sumEncodingOf(this.#encoding, gradientScales);
    this.#training = { step, trainingKind: 'published', sumEncoding, gradientScales, frameFor };
  }

  #encodeWhole(step: number): Uint8Array {
    const { values, movingStatistics, gradientScales } = this.#held.forTraining!;
    const gradientEncoding = gradientScales === undefined ? 'float32' : 'int8';
    const header: CoordinatorMessage = { type: 'published-weights', step, gradientEncoding };
    const parts = [values, movingStatistics, ...(gradientScales === undefined ? [] : [gradientScales])];
    return encodeFrame(header, ...parts.map(littleEndianBytes));
  }

  /** Replaces the last frame of this kind, whose memory is used again unless sockets still refer to it. */
  #keep(kind: 'own' | 'published', message: Uint8Array): SharedFrame {
    const previous = this.#frames.get(kind);
    const memory = previous?.pendingSends === 0 ? ownMemoryOf(previous.message) : undefined;
    if (memory !== undefined) this.#reuse(memory);
    const frame = { message, pendingSends: 0 };
    this.#frames.set(kind, frame);
    return frame;
  }
}
