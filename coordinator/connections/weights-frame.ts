// The weights as one encoded message per step, which the sockets of all workers share.
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { encodeFrameIn } from '../../shared/protocol/frame.js';
import type { CoordinatorMessage } from '../../shared/protocol/messages.js';

export interface WeightsFrame {
  /** Zero-based step to compute with these weights, which equals the number of updates made. */
  readonly step: number;
  /** Encoded message; must not be modified. */
  readonly message: Uint8Array;
  /** Number of sockets that still refer to the message. */
  pendingSends: number;
}

/** Encodes the weights of one step after the other. */
export class WeightsEncoder {
  #latest: WeightsFrame | undefined;
  /** Earlier frames. Their memory is used again once all sockets have sent them. */
  #earlier: WeightsFrame[] = [];

  /** Returns a frame that is valid until all its sends have ended and the next one has been encoded. */
  encode(step: number, weights: Float32Array, movingStatistics: Float32Array): WeightsFrame {
    if (this.#latest !== undefined) this.#earlier.push(this.#latest);
    const header: CoordinatorMessage = { type: 'weights', step };
    const payload = [littleEndianBytes(weights), littleEndianBytes(movingStatistics)];
    const message = encodeFrameIn((bytes) => this.#memoryOf(bytes), header, ...payload);
    this.#latest = { step, message, pendingSends: 0 };
    return this.#latest;
  }

  #memoryOf(bytes: number): Uint8Array {
    const unused = this.#earlier.find(({ message, pendingSends }) => pendingSends === 0 && message.length === bytes);
    // The others are garbage once they have been sent.
    this.#earlier = this.#earlier.filter((frame) => frame !== unused && frame.pendingSends > 0);
    return unused?.message ?? Buffer.allocUnsafe(bytes);
  }
}
