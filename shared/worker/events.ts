// What a worker tells the program or page that started it.
import type { EngineIdentity } from '../protocol/engine-identity.js';

/** A partial sum that has been computed: its step, and how many images and slices it covers. */
export interface WorkerProgress {
  step: number;
  images: number;
  slices: number;
}

/** The run that a worker has joined. */
export interface RunJoined {
  url: string;
  workerId: number;
  /** Name of the network. */
  network: string;
  sliceCount: number;
  /** Number of images in the global batch. */
  batchSize: number;
  totalSteps: number;
}

/** Events that a worker emits. */
export interface WorkerEvents {
  /** The coordinator has admitted this worker. */
  joined: [RunJoined];
  /** The worker measures these engines, because the coordinator is about to choose one for the run. */
  measuring: [{ engines: string[] }];
  /** An engine cannot run the model, or the measured speeds cannot be cached. The worker continues. */
  measurementFailed: [{ message: string }];
  /** The coordinator has chosen this engine for the run. */
  engine: [EngineIdentity];
  /** The worker has computed and sent a partial sum. */
  progress: [WorkerProgress];
  /** The connection was lost or could not be opened. The next attempt follows after `delayMs`. */
  reconnecting: [{ reason: string; attempt: number; delayMs: number }];
  /**
   * The cache folder cannot be read or written, for example because the disk is full. The worker continues without the
   * cache.
   */
  cacheFailed: [{ message: string }];
}

/** Receives a worker's events. */
export interface WorkerEventSink {
  emit<Type extends keyof WorkerEvents>(type: Type, ...event: WorkerEvents[Type]): unknown;
}

export interface WorkerSummary {
  /** Why this worker stopped: the coordinator's reason, or the reason passed to `stop`. */
  reason: string;
  /** Number of images whose gradients this worker computed. */
  images: number;
}
