// The weights as one encoded message per step, which the sockets of all workers share.
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import type { CoordinatorMessage } from '../../shared/protocol/messages.js';

export interface WeightsFrame {
  /** Zero-based step to compute with these weights, which equals the number of updates made. */
  step: number;
  /** Encoded message; must not be modified. */
  message: Buffer;
}

export function encodeWeights(step: number, weights: Float32Array, movingStatistics: Float32Array): WeightsFrame {
  const header: CoordinatorMessage = { type: 'weights', step };
  return { step, message: encodeFrame(header, littleEndianBytes(weights), littleEndianBytes(movingStatistics)) };
}
