// A TCP relay on loopback between one worker and its coordinator. It emits an event for each message that passes, and
// can reset, stall, delay, throttle or refuse the connection.
import { EventEmitter, once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock, type Clock } from '../../../shared/clock.js';
import {
  parseCoordinatorMessage,
  parseWorkerMessage,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../../../shared/protocol/messages.js';
import { healthyLink, FaultyStream, type LinkConditions, type Segment } from './faulty-stream.js';
import { MessageTracker, type MessagePoint } from './message-tracker.js';

/** A point in a message that is on its way to the coordinator (`up`) or to the worker (`down`). */
export type LinkMark =
  | { direction: 'up'; point: MessagePoint; message: WorkerMessage }
  | { direction: 'down'; point: MessagePoint; message: CoordinatorMessage };

export interface LinkEvents {
  /** Emitted when all bytes before this point have been forwarded, and none after it. */
  mark: [LinkMark];
}

interface Connection {
  worker: Socket;
  coordinator: Socket;
  streams: readonly FaultyStream[];
}

export class FaultyLink extends EventEmitter<LinkEvents> {
  readonly #server: Server;
  readonly #coordinatorPort: number;
  readonly #clock: Clock;
  readonly #connections = new Set<Connection>();
  #conditions = healthyLink;
  #isRefusing = false;

  private constructor(server: Server, coordinatorPort: number, clock: Clock) {
    super();
    this.#server = server;
    this.#coordinatorPort = coordinatorPort;
    this.#clock = clock;
    server.on('connection', (socket) => this.#connect(socket));
  }

  /** Listens on a free port, and forwards connections to the coordinator at `coordinatorPort`. */
  static async open(coordinatorPort: number, clock: Clock = systemClock): Promise<FaultyLink> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyLink(server, coordinatorPort, clock);
  }

  /** URL that the worker connects to instead of the coordinator's. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resets the connection at both ends; buffered bytes are lost. */
  cut(): void {
    for (const { worker, coordinator } of this.#connections) {
      reset(worker);
      reset(coordinator);
    }
  }

  /** Refuses new connections until the returned function is called. */
  refuse(): () => void {
    this.#isRefusing = true;
    return () => {
      this.#isRefusing = false;
    };
  }

  /** Forwards nothing over the current connection until the returned function is called. */
  stall(): () => void {
    const streams = [...this.#connections].flatMap((connection) => connection.streams);
    for (const stream of streams) stream.hold();
    return () => {
      for (const stream of streams) stream.release();
    };
  }

  /** Delays or throttles current and new connections until the returned function is called. */
  impair(conditions: Partial<LinkConditions>): () => void {
    this.#setConditions({ ...healthyLink, ...conditions });
    return () => this.#setConditions(healthyLink);
  }

  async close(): Promise<void> {
    this.cut();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #setConditions(conditions: LinkConditions): void {
    this.#conditions = conditions;
    for (const { streams } of this.#connections) for (const stream of streams) stream.conditions = conditions;
  }

  #connect(worker: Socket): void {
    if (this.#isRefusing) {
      worker.resetAndDestroy();
      return;
    }
    const coordinator = connect({ port: this.#coordinatorPort, host: '127.0.0.1', noDelay: true });
    const up = new MessageTracker(parseWorkerMessage);
    const down = new MessageTracker(parseCoordinatorMessage);
    const streams = [
      new FaultyStream(worker, coordinator, this.#clock, (bytes) =>
        segmentsOf(bytes, up, (mark) => this.emit('mark', { direction: 'up', ...mark })),
      ),
      new FaultyStream(coordinator, worker, this.#clock, (bytes) =>
        segmentsOf(bytes, down, (mark) => this.emit('mark', { direction: 'down', ...mark })),
      ),
    ];
    for (const stream of streams) stream.conditions = this.#conditions;
    const connection: Connection = { worker, coordinator, streams };
    this.#connections.add(connection);
    for (const socket of [worker, coordinator]) {
      socket.on('close', () => {
        if (worker.destroyed && coordinator.destroyed) this.#connections.delete(connection);
      });
    }
  }
}

/**
 * Resets a socket. If it has been ended, destroys it instead: libuv would refuse the reset, and Node.js would keep the
 * handle, so that the process would never exit.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** Divides bytes into segments that end at the points of the messages in them. */
function segmentsOf<Message>(
  bytes: Buffer,
  tracker: MessageTracker<Message>,
  onMark: (mark: { point: MessagePoint; message: Message }) => void,
): Segment[] {
  let first = 0;
  const segments: Segment[] = tracker.track(bytes).map(({ offset, point, message }) => {
    const segment = { bytes: bytes.subarray(first, offset), onWritten: () => onMark({ point, message }) };
    first = offset;
    return segment;
  });
  return [...segments, { bytes: bytes.subarray(first) }];
}
