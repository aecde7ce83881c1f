// A worker controlled by a test: a real WorkerConnection over a fake socket. The test decides when it answers, repeats
// an answer or leaves.
import { encodePredictions } from '../../shared/protocol/predictions.js';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { WebSocket } from 'ws';
import type { WorkerConnection } from '../../coordinator/connections/worker-connection.js';
import type { WorkerPool } from '../../coordinator/connections/worker-pool.js';
import type { Clock } from '../../shared/clock.js';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import {
  parseCoordinatorMessage,
  protocolVersion,
  type CoordinatorMessage,
  type EvaluationMessage,
  type Split,
  type WorkerMessage,
} from '../../shared/protocol/messages.js';
import type { SliceRange } from '../../shared/reduction/slices.js';

/** Environment shared by all workers in a test. */
export interface ScriptedWorld {
  pool: WorkerPool;
  clock: Clock;
  /** Hashes of all shards. */
  shards: readonly string[];
  imagesPerSlice: number;
  /**
   * Returns the answer for a slice range. The payload holds the partial sum, then the batch statistics for each slice.
   */
  answer: (step: number, range: SliceRange) => { payload: Float32Array; sampleCount: number; lossSums: number[] };
}

/** Implements the parts of ws's WebSocket that a WorkerConnection uses. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readonly CLOSED = 3;
  readonly bufferedAmount = 0;
  readyState = this.OPEN;
  readonly #onMessage: (message: CoordinatorMessage) => void;

  constructor(onMessage: (message: CoordinatorMessage) => void) {
    super();
    this.#onMessage = onMessage;
  }

  send(frame: Uint8Array, sent?: () => void): void {
    this.#onMessage(parseCoordinatorMessage(decodeFrame(frame).header));
    sent?.();
  }

  close(code = 1000): void {
    if (this.readyState === this.CLOSED) return;
    this.readyState = this.CLOSED;
    this.emit('close', code);
  }

  terminate(): void {
    this.close(1006);
  }
}

type Task =
  | { type: 'gradient'; step: number; range: SliceRange }
  | { type: 'evaluation'; step: number; split: Split; index: number };

/** Returns the number of images in an evaluation shard, which differs from shard to shard. */
export function imagesInShard(index: number): number {
  return 10 + index;
}

/** Returns the evaluation of a shard, which is the same from every worker. */
export function evaluationOf({ step, split, index }: Omit<Task & { type: 'evaluation' }, 'type'>): EvaluationMessage {
  const counts = { sampleCount: imagesInShard(index), lossSum: 0.1 * index, correctCount: index, topFiveCount: index };
  return { type: 'evaluation', step, split, index, ...counts };
}

/** Returns the predicted classes for a shard, which are the same from every worker. */
export function classesIn({ sampleCount, index }: EvaluationMessage): Uint16Array {
  return Uint16Array.from({ length: sampleCount }, (_, image) => (image + index) % 10);
}

function evaluationFrameOf(task: Task & { type: 'evaluation' }): Uint8Array {
  const message = evaluationOf(task);
  return encodeFrame(message, encodePredictions(classesIn(message), 10));
}

export class ScriptedWorker {
  readonly connection: WorkerConnection;
  readonly #world: ScriptedWorld;
  readonly #socket: FakeSocket;
  readonly #computeMs: number;
  /** Assigned tasks. The first one is in progress. */
  #tasks: Task[] = [];
  #lastAnswer: Uint8Array | undefined;

  /**
   * @param holds hashes of the shards that the worker already has
   * @param computeMs reported computing time per slice
   */
  constructor(world: ScriptedWorld, name: string, holds: readonly string[], computeMs: number) {
    this.#world = world;
    this.#computeMs = computeMs;
    this.#socket = new FakeSocket((message) => this.#receive(message));
    this.connection = world.pool.connect(
      {
        socket: this.#socket as unknown as WebSocket,
        transport: new PassThrough(),
        gatherInto: () => undefined,
        address: 'nowhere',
        failed: () => undefined,
        hello: {
          type: 'hello',
          protocolVersion,
          lockstepVersion: '0',
          token: '',
          name,
          engines: [{ engine: 'scripted', fingerprint: 'scripted/1', device: 'paper' }],
          cachedShards: [...holds],
        },
      },
      {
        shardRecords: new Map(world.shards.map((sha256) => [sha256, new Uint8Array()])),
        imagesPerSlice: () => world.imagesPerSlice,
        heartbeatIntervalMs: 1e9,
        heartbeatTimeoutMs: 1e9,
        clock: world.clock,
      },
    );
    world.pool.add(this.connection);
  }

  get isConnected(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Answers the current task, which may belong to a finished step. @returns false if there is no task */
  answer(): boolean {
    const task = this.#tasks.shift();
    if (task === undefined) return false;
    this.#lastAnswer = task.type === 'gradient' ? this.#gradientOf(task) : evaluationFrameOf(task);
    this.#send(this.#lastAnswer);
    return true;
  }

  #gradientOf({ step, range }: Task & { type: 'gradient' }): Uint8Array {
    const { payload, sampleCount, lossSums } = this.#world.answer(step, range);
    const computeMs = this.#computeMs * range.count;
    const message: WorkerMessage = {
      type: 'gradient',
      step,
      range,
      sampleCount,
      slices: lossSums.map((lossSum) => ({ lossSum, correctCount: 0 })),
      phases: { waitMs: 0, augmentMs: 0, computeMs, reduceMs: 0, sendMs: 0 },
    };
    return encodeFrame(message, new Uint8Array(payload.slice().buffer));
  }

  /** Sends the last answer again. */
  repeat(): void {
    if (this.#lastAnswer !== undefined) this.#send(Buffer.from(this.#lastAnswer));
  }

  /** Tells the coordinator that the worker now holds a shard. */
  reportShard(sha256: string): void {
    this.#send(encodeFrame({ type: 'shard-held', sha256 } satisfies WorkerMessage));
  }

  leave(): void {
    this.#socket.close(1006);
  }

  #send(frame: Uint8Array): void {
    if (this.isConnected) this.#socket.emit('message', frame);
  }

  #receive(message: CoordinatorMessage): void {
    // When weights for another step arrive, a worker drops all tasks that it has not started.
    if (message.type === 'weights') this.#tasks = this.#tasks.slice(0, 1);
    if (message.type === 'compute') {
      const { step } = message;
      this.#tasks.push(...message.ranges.map((range) => ({ type: 'gradient' as const, step, range })));
    }
    if (message.type === 'evaluate') this.#tasks.push({ ...message, type: 'evaluation' });
  }
}
