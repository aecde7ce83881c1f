// What the connections of workers need from the run, and what they tell it.
import type { Clock } from '../../shared/clock.js';
import type { Records } from '../../shared/dataset/records.js';
import type { EvaluationMessage, GradientMessage } from '../../shared/protocol/messages.js';
import type { RelayedHandlers } from './relays/relayed-workers.js';

/** A worker's answer to an assignment. */
export type AnswerMessage = GradientMessage | EvaluationMessage;

/** Settings shared by all connections of a run. */
export interface ConnectionSettings {
  /** Records of each shard, by the shard's hash. */
  shardRecords: ReadonlyMap<string, Records>;
  /** Returns the number of images of each slice in the round that starts with a step. */
  imagesPerSlice: (step: number) => number;
  heartbeatIntervalMs: number;
  heartbeatTimeoutMs: number;
  clock: Clock;
}

export interface ConnectionHandlers extends RelayedHandlers {
  /** Called for each answer. If it throws ProtocolError, the worker is disconnected. */
  onAnswer: (message: AnswerMessage, payload: Uint8Array) => void;
  /** Called when the worker has answered the last probe. */
  onProbed: () => void;
  /** Called with the speeds of the worker's engines in images per second, by fingerprint. */
  onMeasured: (speeds: ReadonlyMap<string, number>) => void;
  /**
   * Called with a clock sample: the worker's clock showed `repliedMs` at some moment between `sentMs` and `returnedMs`
   * on the coordinator's clock.
   */
  onClockSample: (
    worker: { id: number; name: string },
    sample: { sentMs: number; repliedMs: number; returnedMs: number },
  ) => void;
  /** Called when the worker has received a shard. */
  onShardHeld: () => void;
  /** Called with each message after it has been handled. */
  onHandled: (message: Buffer) => void;
  /** Called once, when the connection has closed and nothing more will arrive. */
  onClosed: (reason: string) => void;
}
