// Entry point of the Web Worker in which a tab's worker runs: its sessions, its shards and its engine. The page starts
// it (web/tab/start-worker.ts).
import { systemClock } from '../../shared/clock.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { WorkerSummary } from '../../shared/worker/events.js';
import type { PageMessage, TabWorkerMessage, TabWorkerSettings } from '../../shared/worker/tab-messages.js';
import { openComputeSession } from '../compute-session.js';
import { DeviceModels } from '../device-models.js';
import { openWasmEngine } from '../engines/wasm/browser/wasm-engine.js';
import { EngineSpeeds, type SpeedCache } from '../measurement/engine-speeds.js';
import { ReconnectingWorker } from '../reconnecting-worker.js';
import type { SessionHandlers } from '../session.js';
import { RunShards } from '../shards/run-shards.js';
import { noShardCache } from '../shards/shard-cache.js';
import { linkTo } from './open-link.js';
import { openShardCache } from './open-shard-cache.js';

/** How long to keep retrying the connection. */
const reconnectTimeoutMs = 600_000;
/** Total size of the shards in memory if the browser offers no storage. Tabs have less memory than processes. */
const memoryBytesWithoutFiles = 2 ** 30;

function post(message: TabWorkerMessage): void {
  self.postMessage(message);
}

/** Joins the run, and rejoins it whenever the page resumes the worker after a pause. */
class TabWorker {
  readonly #join: () => ReconnectingWorker;
  #worker: ReconnectingWorker | undefined;
  #isPaused = false;
  #isStopped = false;
  #continue: () => void = () => undefined;

  constructor(join: () => ReconnectingWorker) {
    this.#join = join;
  }

  async run(): Promise<WorkerSummary> {
    let images = 0;
    while (true) {
      this.#worker = this.#join();
      const summary = await this.#worker.run();
      images += summary.images;
      if (!this.#isPaused || this.#isStopped) return { ...summary, images };
      post({ type: 'event', name: 'paused', event: {} });
      await new Promise<void>((resolve) => {
        this.#continue = resolve;
      });
      if (this.#isStopped) return { ...summary, images };
      post({ type: 'event', name: 'resumed', event: {} });
    }
  }

  receive(message: Exclude<PageMessage, { type: 'start' }>): void {
    switch (message.type) {
      case 'pause':
        this.#isPaused = true;
        return this.#worker?.stop('paused');
      case 'resume':
        this.#isPaused = false;
        return this.#continue();
      case 'online':
        return this.#worker?.reconnectNow();
      case 'stop':
        this.#isStopped = true;
        this.#worker?.stop(message.reason);
        return this.#continue();
      default:
        message satisfies never;
    }
  }
}

/** Remembers speeds until the tab closes. */
function memorySpeedCache(): SpeedCache {
  const speeds = new Map<string, number>();
  return {
    read: () => Promise.resolve(speeds),
    add(added) {
      for (const [key, imagesPerSecond] of added) speeds.set(key, imagesPerSecond);
      return Promise.resolve();
    },
  };
}

async function start({ url, token, name, threads, cache }: TabWorkerSettings): Promise<TabWorker> {
  const events: ConstructorParameters<typeof ReconnectingWorker>[2] = {
    emit: (type, event) => post({ type: 'event', name: type, event } as TabWorkerMessage),
  };
  const [engine, shardCache] = await Promise.all([
    openWasmEngine(threads),
    cache ? openShardCache((message) => events.emit('cacheFailed', { message })) : undefined,
  ]);
  post({ type: 'event', name: 'cacheOpened', event: { kind: shardCache?.kind ?? 'none' } });
  const shards = new RunShards(shardCache?.cache ?? noShardCache, undefined, memoryBytesWithoutFiles);
  const devices = new DeviceModels([engine]);
  const speeds = new EngineSpeeds(devices, memorySpeedCache(), {
    onMeasuring: (engines) => void events.emit('measuring', { engines }),
    onFailure: (message) => void events.emit('measurementFailed', { message }),
  });
  const openSession = (handlers: SessionHandlers) =>
    openComputeSession({ name, token }, linkTo(url), { devices, speeds }, shards, handlers);
  const options = { url, reconnectTimeoutMs, clock: systemClock };
  return new TabWorker(() => new ReconnectingWorker(openSession, options, events));
}

function reportFailure(error: unknown): void {
  const code = error instanceof LockstepError ? error.code : 'engine-failed';
  post({ type: 'failed', code, message: messageOf(error) });
}

const waiting: Exclude<PageMessage, { type: 'start' }>[] = [];
let worker: TabWorker | undefined;

self.addEventListener('message', ({ data }: MessageEvent<PageMessage>) => {
  if (data.type !== 'start') {
    if (worker === undefined) waiting.push(data);
    else worker.receive(data);
    return;
  }
  start(data.settings)
    .then(async (started) => {
      worker = started;
      const finished = worker.run();
      for (const message of waiting) worker.receive(message);
      post({ type: 'finished', summary: await finished });
    })
    .catch(reportFailure);
});
