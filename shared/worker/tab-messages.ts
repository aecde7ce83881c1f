// Messages between a page and the Web Worker in which its worker runs.
import type { ErrorCode } from '../errors.js';
import type { WorkerEvents, WorkerSummary } from './events.js';

export interface TabWorkerSettings {
  /** WebSocket URL of the coordinator. */
  url: string;
  token: string;
  name: string;
  threads: number;
  /** Whether to keep shards between visits. */
  cache: boolean;
}

/** Where shards are kept between visits: the origin private file system, the Cache API, or nowhere. */
export type TabCacheKind = 'opfs' | 'cache-api' | 'none';

/** The worker's events, each with one argument. */
export type BrowserWorkerEvents = { [Type in keyof WorkerEvents]: WorkerEvents[Type][0] } & {
  /** The worker has opened its cache. */
  cacheOpened: { kind: TabCacheKind };
  /** The worker has left the run until it is resumed. */
  paused: Record<string, never>;
  /** The worker rejoins the run. */
  resumed: Record<string, never>;
};

export type PageMessage =
  /** Sent first, once. */
  | { type: 'start'; settings: TabWorkerSettings }
  | { type: 'pause' }
  | { type: 'resume' }
  /** The network is back: do not wait until the next attempt to reconnect. */
  | { type: 'online' }
  | { type: 'stop'; reason: string };

export type TabWorkerMessage =
  | {
      [Type in keyof BrowserWorkerEvents]: { type: 'event'; name: Type; event: BrowserWorkerEvents[Type] };
    }[keyof BrowserWorkerEvents]
  | { type: 'finished'; summary: WorkerSummary }
  /** `refusal` is the code of the coordinator's refusal, if that is why. */
  | { type: 'failed'; code: ErrorCode; message: string; refusal?: string | undefined };
