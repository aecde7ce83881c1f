// Entry point of the Web Worker in which a tab's worker runs: its sessions, its shards and its engine. Started by the page
// (web/tab/start-worker.ts).
import { systemClock } from '../../shared/clock.js';
import { LockstepError, messageOf, RefusedError } from '../../shared/errors.js';
import type { PageMessage, TabWorkerMessage, TabWorkerSettings } from '../../shared/worker/tab-messages.js';
import { openComputeSession } from '../compute-session.js';
import { DeviceModels } from '../device-models.js';
import { openWasmEngine } from '../engines/wasm/browser/wasm-engine.js';
import { webGpuEngines } from '../engines/webgpu/browser/webgpu-engine.js';
import { EngineSpeeds, type SpeedCache } from '../measurement/engine-speeds.js';
import { ReconnectingWorker } from '../reconnecting-worker.js';
import type { SessionHandlers } from '../session.js';
import { RunShards } from '../shards/run-shards.js';
import { noShardCache } from '../shards/shard-cache.js';
import { linkTo } from './open-link.js';
import { openShardCache } from './open-shard-cache.js';
import { TabWorker } from './tab-worker.js';

/** How long to keep retrying the connection. */
const reconnectTimeoutMs = 600_000;
/** Total size of the shards in memory if the browser offers no storage. Tabs have less memory than processes. */
const memoryBytesWithoutFiles = 2 ** 30;

function post(message: TabWorkerMessage): void {
  self.postMessage(message);
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
  const [wasm, webGpu, shardCache] = await Promise.all([
    openWasmEngine(threads),
    webGpuEngines(),
    cache ? openShardCache((message) => events.emit('cacheFailed', { message })) : undefined,
  ]);
  post({ type: 'event', name: 'cacheOpened', event: { kind: shardCache?.kind ?? 'none' } });
  const shards = new RunShards(shardCache?.cache ?? noShardCache, undefined, memoryBytesWithoutFiles);
  const devices = new DeviceModels([wasm, ...webGpu]);
  const speeds = new EngineSpeeds(devices, memorySpeedCache(), {
    onMeasuring: (engines) => void events.emit('measuring', { engines }),
    onFailure: (message) => void events.emit('measurementFailed', { message }),
  });
  const openSession = (handlers: SessionHandlers) =>
    openComputeSession({ name, token }, linkTo(url), { devices, speeds }, shards, handlers);
  const options = { url, reconnectTimeoutMs, clock: systemClock };
  return new TabWorker(
    () => new ReconnectingWorker(openSession, options, events),
    (isPaused) => post({ type: 'event', name: isPaused ? 'paused' : 'resumed', event: {} }),
  );
}

function reportFailure(error: unknown): void {
  const code = error instanceof LockstepError ? error.code : 'engine-failed';
  const refusal = error instanceof RefusedError ? error.refusal : undefined;
  post({ type: 'failed', code, message: messageOf(error), refusal });
}

const waiting: Exclude<PageMessage, { type: 'start' }>[] = [];
let worker: TabWorker | undefined;

async function run(settings: TabWorkerSettings): Promise<void> {
  worker = await start(settings);
  const finished = worker.run();
  for (const message of waiting) worker.receive(message);
  post({ type: 'finished', summary: await finished });
}

self.addEventListener('message', ({ data }: MessageEvent<PageMessage>) => {
  if (data.type !== 'start') {
    if (worker === undefined) waiting.push(data);
    else worker.receive(data);
    return;
  }
  run(data.settings).catch(reportFailure);
});
