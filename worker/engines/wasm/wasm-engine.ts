// The wasm engines in Node.
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../../shared/built-file.js';
import { describeProcessor } from '../../../shared/processor.js';
import type { EngineOptions } from '../../engine.js';
import {
  createWasmEngine,
  type WasmEngine,
  type WasmEngineName,
  type WasmPlatform,
  type WasmThread,
} from './create-engine.js';
import type { RunnerOptions } from './step-runner.js';

export type { WasmEngine, WasmEngineName } from './create-engine.js';

const node: WasmPlatform = {
  runtime: `Node.js ${process.versions.node}`,
  describeDevice: describeProcessor,
  readKernels: async (file) => readFile(builtFile(file, import.meta.url)),
  startThread,
};

function startThread(options: RunnerOptions): WasmThread {
  const worker = new Worker(builtFile('wasm-thread.js', import.meta.url), { workerData: options });
  const ready = new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
    worker.once('exit', (status) => reject(new Error(`it exited with status ${status}`)));
  });
  return { ready, unref: () => worker.unref(), terminate: () => void worker.terminate() };
}

/** Opens an engine. Throws `no-engine` if this CPU or this version of Node.js cannot run its kernels. */
export async function openWasmEngine(options: EngineOptions, name: WasmEngineName = 'wasm'): Promise<WasmEngine> {
  return createWasmEngine(options, name, node);
}
