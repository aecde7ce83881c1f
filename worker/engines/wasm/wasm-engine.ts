// The wasm engine in Node: reads the kernels, starts the threads. What they compute is wasm-model.ts and below.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../../shared/built-file.js';
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { processorInWords } from '../../../shared/processor.js';
import type { Engine, EngineOptions } from '../../engine.js';
import { passesVersion } from './step-passes.js';
import type { RunnerSetting } from './step-runner.js';
import { createModelMemory, isPerPixel, WasmModel } from './wasm-model.js';

/** While the threads compute, this one cannot hear from them: what may fail at their start must fail before. */
async function isReady(worker: Worker): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
    worker.once('exit', (status) => reject(new Error(`it ended with status ${status}`)));
  });
}

export interface WasmEngine extends Engine {
  createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<WasmModel>;
}

export async function openWasmEngine({ threads }: EngineOptions): Promise<WasmEngine> {
  const kernels = await readFile(builtFile('kernels.wasm', import.meta.url));
  const module = await WebAssembly.compile(
    threads === 1 ? kernels : await readFile(builtFile('kernels-shared.wasm', import.meta.url)),
  );
  const hash = createHash('sha256').update(kernels).digest('hex').slice(0, 16);
  const models = new Set<WasmModel>();

  return {
    identity: { engine: 'wasm', fingerprint: `wasm/${passesVersion}-${hash}`, device: processorInWords(threads) },

    async createModel(layout, preprocessing, labelSmoothing = 0) {
      const passOptions = { labelSmoothing, centresPixels: isPerPixel(preprocessing) };
      const memory = createModelMemory(threads);
      const workers: Worker[] = [];
      const model = new WasmModel(layout, preprocessing, {
        module,
        memory,
        threads,
        passOptions,
        onDispose: () => {
          models.delete(model);
          for (const worker of workers) void worker.terminate();
        },
      });
      models.add(model);
      for (let thread = 1; thread < threads; thread++) {
        const setting: RunnerSetting = { module, memory, layout, thread, threads, ...passOptions };
        workers.push(new Worker(builtFile('wasm-thread.js', import.meta.url), { workerData: setting }));
      }
      try {
        await Promise.all(workers.map(isReady));
      } catch (thrown) {
        model.dispose();
        throw new LockstepError('engine-failed', `a thread of the wasm engine does not start: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
      for (const worker of workers) worker.unref(); // a model that is not disposed of does not keep the process alive
      return model;
    },

    async close() {
      for (const model of models) model.dispose();
    },
  };
}
