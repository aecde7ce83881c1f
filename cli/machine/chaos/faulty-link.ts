// Between one worker and its coordinator: a TCP relay on loopback that tells which message is passing, and that can cut,
// stall, delay and slow the connection, or refuse it. Knows nothing of plans and processes.
import { EventEmitter, once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock, type Clock } from '../../../shared/clock.js';
import {
  parseCoordinatorMessage,
  parseWorkerMessage,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../../../shared/protocol/messages.js';
import { healthyLink, FaultyStream, type Portion, type LinkConditions } from './faulty-stream.js';
import { MessageTracker, type Place } from './message-tracker.js';

/** A place in a message on its way to the coordinator (up) or from it (down). */
export type LinkMark =
  | { direction: 'up'; place: Place; message: WorkerMessage }
  | { direction: 'down'; place: Place; message: CoordinatorMessage };

export interface LinkEvents {
  /** Everything before this place has been written on, nothing behind it: what a listener does comes in between. */
  mark: [LinkMark];
}

interface Connection {
  worker: Socket;
  coordinator: Socket;
  pipes: readonly FaultyStream[];
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

  /** Listens on a free port of loopback for a worker that is to be connected with the coordinator's port. */
  static async open(coordinatorPort: number, clock: Clock = systemClock): Promise<FaultyLink> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyLink(server, coordinatorPort, clock);
  }

  /** Where the worker finds its coordinator. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Closes the connection at both ends at once; what was on the way is lost. */
  cut(): void {
    for (const { worker, coordinator } of this.#connections) {
      reset(worker);
      reset(coordinator);
    }
  }

  /** Connections are refused until the returned function is called. One that is open stays open. */
  refuse(): () => void {
    this.#isRefusing = true;
    return () => {
      this.#isRefusing = false;
    };
  }

  /** Nothing passes over the connection that is open now, and nobody is told, until the returned function is called. */
  stall(): () => void {
    const pipes = [...this.#connections].flatMap((connection) => connection.pipes);
    for (const pipe of pipes) pipe.hold();
    return () => {
      for (const pipe of pipes) pipe.release();
    };
  }

  /** Bytes are late or slow, on this connection and on those that follow, until the returned function is called. */
  worsen(conditions: Partial<LinkConditions>): () => void {
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
    for (const { pipes } of this.#connections) for (const pipe of pipes) pipe.conditions = conditions;
  }

  #connect(worker: Socket): void {
    if (this.#isRefusing) {
      worker.resetAndDestroy();
      return;
    }
    const coordinator = connect({ port: this.#coordinatorPort, host: '127.0.0.1', noDelay: true });
    const up = new MessageTracker(parseWorkerMessage);
    const down = new MessageTracker(parseCoordinatorMessage);
    const connection: Connection = {
      worker,
      coordinator,
      pipes: [
        new FaultyStream(worker, coordinator, this.#clock, (bytes) =>
          portionsOf(bytes, up, (mark) => this.emit('mark', { direction: 'up', ...mark })),
        ),
        new FaultyStream(coordinator, worker, this.#clock, (bytes) =>
          portionsOf(bytes, down, (mark) => this.emit('mark', { direction: 'down', ...mark })),
        ),
      ],
    };
    for (const pipe of connection.pipes) pipe.conditions = this.#conditions;
    this.#connections.add(connection);
    coordinator.on('close', () => this.#forgetIfClosed(connection));
    worker.on('close', () => this.#forgetIfClosed(connection));
  }

  #forgetIfClosed(connection: Connection): void {
    if (connection.worker.destroyed && connection.coordinator.destroyed) this.#connections.delete(connection);
  }
}

/**
 * One that has been ended cannot be reset: libuv refuses it, and Node keeps the handle, which its own clean-up at the end of
 * the process then waits for, for ever.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** The bytes, divided at each place that is told of. */
function portionsOf<Message>(
  bytes: Buffer,
  tracker: MessageTracker<Message>,
  tell: (mark: { place: Place; message: Message }) => void,
): Portion[] {
  let first = 0;
  const portions: Portion[] = tracker.track(bytes).map(({ offset, place, message }) => {
    const portion = { bytes: bytes.subarray(first, offset), tell: () => tell({ place, message }) };
    first = offset;
    return portion;
  });
  return [...portions, { bytes: bytes.subarray(first) }];
}
