// The weights as they go out: encoded once a step, however many workers there are.
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import type { CoordinatorMessage } from '../../shared/protocol/messages.js';

export interface WeightsFrame {
  /** The step these weights are for: as many updates have been made. */
  step: number;
  /** One whole message, shared by all sockets; not written to again. */
  message: Buffer;
}

export function encodeWeights(step: number, weights: Float32Array, movingStatistics: Float32Array): WeightsFrame {
  const header: CoordinatorMessage = { type: 'weights', step };
  return { step, message: encodeFrame(header, littleEndianBytes(weights), littleEndianBytes(movingStatistics)) };
}
