// The wasm engines in Node: loads the kernels and starts the threads. wasm-model.ts and its imports do not depend on
// Node.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../../shared/built-file.js';
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { describeProcessor } from '../../../shared/processor.js';
import type { Engine, EngineOptions } from '../../engine.js';
import { fusesMultiplyAdd } from './fusion-probe.js';
import { passesVersion } from './passes/pass.js';
import type { RunnerOptions } from './step-runner.js';
import { createModelMemory, subtractsPixelMeans, WasmModel } from './wasm-model.js';

/**
 * Waits until a thread has started. Throws if the thread fails to start. Later failures cannot arrive as events while a
 * job runs, because the job blocks the main thread.
 */
async function untilReady(worker: Worker): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
    worker.once('exit', (status) => reject(new Error(`it exited with status ${status}`)));
  });
}

export interface WasmEngine extends Engine {
  createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<WasmModel>;
}

/** The engines share their source. The kernels of `wasm-fma` multiply and add with one rounding. */
export type WasmEngineName = 'wasm' | 'wasm-fma';
const kernelsOf = { wasm: 'kernels', 'wasm-fma': 'kernels-fma' } as const satisfies Record<WasmEngineName, string>;

/** Opens an engine. Throws `no-engine` if this CPU or this version of Node.js cannot run its kernels. */
export async function openWasmEngine({ threads }: EngineOptions, name: WasmEngineName = 'wasm'): Promise<WasmEngine> {
  const readKernels = async (suffix = '') => readFile(builtFile(`${kernelsOf[name]}${suffix}.wasm`, import.meta.url));
  const kernels = await readKernels();
  const code = threads === 1 ? kernels : await readKernels('-shared');
  const module = name === 'wasm-fma' ? await compileFused(code, threads) : await WebAssembly.compile(code);
  const hash = createHash('sha256').update(kernels).digest('hex').slice(0, 16);
  const models = new Set<WasmModel>();

  return {
    identity: { engine: name, fingerprint: `${name}/${passesVersion}-${hash}`, device: describeProcessor(threads) },

    async createModel(layout, preprocessing, labelSmoothing = 0) {
      const passOptions = { labelSmoothing, hasPixelMeans: subtractsPixelMeans(preprocessing) };
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
        const workerData: RunnerOptions = { module, memory, layout, thread, threads, ...passOptions };
        workers.push(new Worker(builtFile('wasm-thread.js', import.meta.url), { workerData }));
      }
      try {
        await Promise.all(workers.map(untilReady));
      } catch (thrown) {
        model.dispose();
        throw new LockstepError('engine-failed', `cannot start a thread of the ${name} engine: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
      // Allows the process to exit even if the model is never disposed of.
      for (const worker of workers) worker.unref();
      return model;
    },

    async close() {
      for (const model of models) model.dispose();
    },
  };
}

async function compileFused(code: Buffer<ArrayBuffer>, threads: number): Promise<WebAssembly.Module> {
  const node = `Node.js ${process.versions.node}`;
  const module = await WebAssembly.compile(code).catch((thrown: unknown) => {
    throw new LockstepError(
      'no-engine',
      `the wasm-fma engine needs relaxed SIMD, a feature of WebAssembly that ${node} does not have: ` +
        'use Node.js 22 or later, or the wasm engine',
      { cause: thrown },
    );
  });
  if (fusesMultiplyAdd(module, createModelMemory(threads))) return module;
  throw new LockstepError(
    'no-engine',
    `the wasm-fma engine needs fused multiply-add, but ${node} on this CPU rounds between multiplication and addition: ` +
      'use the wasm engine',
  );
}
