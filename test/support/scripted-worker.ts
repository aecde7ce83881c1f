// A worker that is controlled by a test: a real WorkerConnection over a fake socket. It answers when the test says so, and may be
// late, repeat an answer, or leave.
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

/** What the workers of a test share. */
export interface ScriptedWorld {
  pool: WorkerPool;
  clock: Clock;
  /** Hashes of all shards. */
  shards: readonly string[];
  imagesPerSlice: number;
  /** The partial sum over a range followed by the batch statistics of each slice, and the report on them. */
  answer: (step: number, range: SliceRange) => { payload: Float32Array; sampleCount: number; lossSums: number[] };
}

/** The part of ws's WebSocket that a WorkerConnection uses. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readonly CLOSED = 3;
  readyState = this.OPEN;
  readonly #onMessage: (message: CoordinatorMessage) => void;

  constructor(onMessage: (message: CoordinatorMessage) => void) {
    super();
    this.#onMessage = onMessage;
  }

  send(frame: Buffer, sent?: () => void): void {
    this.#onMessage(parseCoordinatorMessage(decodeFrame(frame).header));
    sent?.();
  }

  ping(): void {}

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

/** Evaluation shards have different sizes. */
export function imagesInShard(index: number): number {
  return 10 + index;
}

/** The evaluation of a shard, the same from every worker. */
export function evaluationOf({ step, split, index }: Omit<Task & { type: 'evaluation' }, 'type'>): EvaluationMessage {
  const counts = { sampleCount: imagesInShard(index), lossSum: 0.1 * index, correctCount: index };
  return { type: 'evaluation', step, split, index, ...counts };
}

/** The predicted classes of a shard, the same from every worker. */
export function classesIn({ sampleCount, index }: EvaluationMessage): Uint8Array {
  return Uint8Array.from({ length: sampleCount }, (_, image) => (image + index) % 10);
}

function evaluationFrameOf(task: Task & { type: 'evaluation' }): Buffer {
  const message = evaluationOf(task);
  return encodeFrame(message, classesIn(message));
}

export class ScriptedWorker {
  readonly connection: WorkerConnection;
  readonly #world: ScriptedWorld;
  readonly #socket: FakeSocket;
  readonly #computeMs: number;
  /** The first one is in progress. */
  #tasks: Task[] = [];
  #lastAnswer: Buffer | undefined;

  /**
   * @param holds hashes of the shards that it has
   * @param computeMs computation time that it reports for each slice
   */
  constructor(world: ScriptedWorld, name: string, holds: readonly string[], computeMs: number) {
    this.#world = world;
    this.#computeMs = computeMs;
    this.#socket = new FakeSocket((message) => this.#receive(message));
    this.connection = world.pool.connect(
      {
        socket: this.#socket as unknown as WebSocket,
        transport: new PassThrough(),
        address: 'nowhere',
        failed: () => undefined,
        hello: {
          type: 'hello',
          protocolVersion,
          lockstepVersion: '0',
          token: '',
          name,
          engine: { engine: 'scripted', fingerprint: 'scripted/1', device: 'paper' },
          cachedShards: [...holds],
        },
      },
      {
        shardRecords: new Map(world.shards.map((sha256) => [sha256, new Uint8Array()])),
        imagesPerSlice: world.imagesPerSlice,
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

  /** Answers its current task, which may belong to a finished step. @returns whether it had one */
  answer(): boolean {
    const task = this.#tasks.shift();
    if (task === undefined) return false;
    this.#lastAnswer = task.type === 'gradient' ? this.#gradientOf(task) : evaluationFrameOf(task);
    this.#send(this.#lastAnswer);
    return true;
  }

  #gradientOf({ step, range }: Task & { type: 'gradient' }): Buffer {
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

  /** Sends its last answer again, unsolicited. */
  repeat(): void {
    if (this.#lastAnswer !== undefined) this.#send(Buffer.from(this.#lastAnswer));
  }

  /** Reports that it has received a shard. */
  reportShard(sha256: string): void {
    this.#send(encodeFrame({ type: 'shard-held', sha256 } satisfies WorkerMessage));
  }

  leave(): void {
    this.#socket.close(1006);
  }

  #send(frame: Buffer): void {
    if (this.isConnected) this.#socket.emit('message', frame);
  }

  #receive(message: CoordinatorMessage): void {
    // With the weights of another step, a worker drops the tasks that it has not started.
    if (message.type === 'weights') this.#tasks = this.#tasks.slice(0, 1);
    if (message.type === 'compute') {
      const { step } = message;
      this.#tasks.push(...message.ranges.map((range) => ({ type: 'gradient' as const, step, range })));
    }
    if (message.type === 'evaluate') this.#tasks.push({ ...message, type: 'evaluation' });
  }
}
