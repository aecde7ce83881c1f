// The weights of one step as encoded messages, which the sockets of all workers share.
import { sumEncodingOf, type SumEncoding } from '../../shared/encoding/partial-sum.js';
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { encodeFrameIn } from '../../shared/protocol/frame.js';
import type { CoordinatorMessage } from '../../shared/protocol/messages.js';
import type { PublishedWeights } from '../encoding/published-weights.js';

/** An encoded message that several sockets share. */
export interface SharedFrame {
  /** Must not be modified. */
  readonly message: Uint8Array;
  /** Number of sockets that still refer to the message. */
  pendingSends: number;
}

/**
 * What a worker holds a copy of: the coordinator's own weights or, in a run with int8 encoding, the published ones. See
 * encoding/published-weights.ts.
 */
export type WeightsKind = 'own' | 'published';

/** The weights of one step. Valid until the next update. */
export interface StepWeights {
  /** Zero-based step to compute with these weights, which equals the number of updates made. */
  readonly step: number;
  /** Kind of weights that gradients are computed with. Evaluations always use the coordinator's own weights. */
  readonly trainingKind: WeightsKind;
  /** How the step's partial sums travel. */
  readonly sumEncoding: SumEncoding;
  /** Scales of the step's gradients; undefined if they travel in float32. */
  readonly gradientScales: Float32Array | undefined;
  /**
   * Returns the message that gives a worker these weights.
   * @param heldStep step of the weights of this kind that the worker holds; -1 if it holds none
   */
  frameFor(kind: WeightsKind, heldStep: number): SharedFrame;
}

/** Encodes the weights of one step after the other. */
export class WeightsEncoder {
  #latest: SharedFrame[] = [];
  /** Earlier frames. Their memory is used again once all sockets have sent them. */
  #earlier: SharedFrame[] = [];

  /**
   * Returns the weights as frames, each of which is encoded when it is first needed. They are valid until all their sends
   * have ended and the next weights have been encoded.
   * @param published published weights of this step; undefined in a run with float32 encoding
   */
  encode(
    step: number,
    weights: Float32Array,
    movingStatistics: Float32Array,
    published?: PublishedWeights,
  ): StepWeights {
    this.#earlier.push(...this.#latest);
    this.#latest = [];
    const statistics = littleEndianBytes(movingStatistics);
    const gradientScales = published?.gradientScales;
    const scales = gradientScales === undefined ? [] : [littleEndianBytes(gradientScales)];
    const own = once(() => this.#frame({ type: 'weights', step }, littleEndianBytes(weights), statistics));
    if (published === undefined) {
      return { step, trainingKind: 'own', sumEncoding: 'float32', gradientScales, frameFor: own };
    }
    const whole = once(() => {
      const gradientEncoding = gradientScales === undefined ? 'float32' : 'int8';
      const header = { type: 'published-weights', step, gradientEncoding } as const;
      return this.#frame(header, littleEndianBytes(published.weights), statistics, ...scales);
    });
    const { difference } = published;
    const change =
      difference &&
      once(() => {
        const differenceScales = littleEndianBytes(difference.scales);
        const integers = new Uint8Array(difference.integers.buffer);
        const { fromStep } = difference;
        return this.#frame(
          { type: 'weights-difference', step, fromStep },
          differenceScales,
          statistics,
          ...scales,
          integers,
        );
      });
    return {
      step,
      trainingKind: 'published',
      sumEncoding: sumEncodingOf('int8', gradientScales),
      gradientScales,
      frameFor(kind, heldStep) {
        if (kind === 'own') return own();
        return change !== undefined && heldStep === difference?.fromStep ? change() : whole();
      },
    };
  }

  #frame(header: CoordinatorMessage, ...payload: Uint8Array[]): SharedFrame {
    const message = encodeFrameIn((bytes) => this.#memoryOf(bytes), header, ...payload);
    const frame = { message, pendingSends: 0 };
    this.#latest.push(frame);
    return frame;
  }

  #memoryOf(bytes: number): Uint8Array {
    const unused = this.#earlier.find(({ message, pendingSends }) => pendingSends === 0 && message.length === bytes);
    // The others are garbage once they have been sent.
    this.#earlier = this.#earlier.filter((frame) => frame !== unused && frame.pendingSends > 0);
    return unused?.message ?? Buffer.allocUnsafe(bytes);
  }
}

/** Returns a function that computes a value when it is first called. */
function once<Value>(compute: () => Value): () => Value {
  let value: Value | undefined;
  return () => (value ??= compute());
}
