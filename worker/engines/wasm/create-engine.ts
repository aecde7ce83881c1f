// The wasm engines, on any platform: loads the kernels and starts the threads of each model.
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { sha256Of } from '../../../shared/sha256.js';
import type { Engine, EngineOptions } from '../../engine.js';
import { fusesMultiplyAdd } from './fusion-probe.js';
import { passesVersion } from './passes/pass.js';
import { withSharedMemory } from './shared-memory.js';
import type { RunnerOptions } from './step-runner.js';
import { createModelMemory, subtractsPixelMeans, WasmModel } from './wasm-model.js';

/** A model's additional thread. */
export interface WasmThread {
  /**
   * Resolves when the thread has started; rejects if it fails to start. Later failures cannot arrive as events while a
   * job runs, because the job blocks the thread that would receive them.
   */
  ready: Promise<void>;
  /** Lets the process exit even if the model is never disposed of. */
  unref(): void;
  terminate(): void;
}

/** What the engines need of their platform. */
export interface WasmPlatform {
  /** Name and version of the runtime, for error messages. */
  runtime: string;
  /** Describes the processor and the number of threads, for display. */
  describeDevice(threads: number): string;
  /** @param file name of a file that build.mjs writes */
  readKernels(file: string): Promise<Uint8Array<ArrayBuffer>>;
  startThread(options: RunnerOptions): WasmThread;
}

export interface WasmEngine extends Engine {
  createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<WasmModel>;
}

/** The engines share their source. The kernels of `wasm-fma` multiply and add with one rounding. */
export type WasmEngineName = 'wasm' | 'wasm-fma';
const kernelsOf = { wasm: 'kernels', 'wasm-fma': 'kernels-fma' } as const satisfies Record<WasmEngineName, string>;

/** Opens an engine. Throws `no-engine` if this CPU or this runtime cannot run its kernels. */
export async function createWasmEngine(
  { threads }: Pick<EngineOptions, 'threads'>,
  name: WasmEngineName,
  platform: WasmPlatform,
): Promise<WasmEngine> {
  const kernels = await platform.readKernels(`${kernelsOf[name]}.wasm`);
  const code = threads === 1 ? kernels : withSharedMemory(kernels);
  const module = name === 'wasm-fma' ? await compileFused(code, threads, platform) : await WebAssembly.compile(code);
  const hash = sha256Of(kernels).slice(0, 16);
  const models = new Set<WasmModel>();

  return {
    identity: {
      engine: name,
      fingerprint: `${name}/${passesVersion}-${hash}`,
      device: platform.describeDevice(threads),
    },

    async createModel(layout, preprocessing, labelSmoothing = 0) {
      const passOptions = { labelSmoothing, hasPixelMeans: subtractsPixelMeans(preprocessing) };
      const memory = createModelMemory(threads);
      const others: WasmThread[] = [];
      const model = new WasmModel(layout, preprocessing, {
        module,
        memory,
        threads,
        passOptions,
        onDispose: () => {
          models.delete(model);
          for (const thread of others) thread.terminate();
        },
      });
      models.add(model);
      for (let thread = 1; thread < threads; thread++) {
        others.push(platform.startThread({ module, memory, layout, thread, threads, ...passOptions }));
      }
      try {
        await Promise.all(others.map(({ ready }) => ready));
      } catch (thrown) {
        model.dispose();
        throw new LockstepError('engine-failed', `cannot start a thread of the ${name} engine: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
      for (const thread of others) thread.unref();
      return model;
    },

    async close() {
      for (const model of models) model.dispose();
    },
  };
}

async function compileFused(
  code: Uint8Array<ArrayBuffer>,
  threads: number,
  { runtime }: WasmPlatform,
): Promise<WebAssembly.Module> {
  const module = await WebAssembly.compile(code).catch((thrown: unknown) => {
    throw new LockstepError(
      'no-engine',
      `the wasm-fma engine needs relaxed SIMD, a feature of WebAssembly that ${runtime} does not have: ` +
        'use Node.js 22 or later, or the wasm engine',
      { cause: thrown },
    );
  });
  if (fusesMultiplyAdd(module, createModelMemory(threads))) return module;
  throw new LockstepError(
    'no-engine',
    `the wasm-fma engine needs fused multiply-add, but ${runtime} on this CPU rounds between multiplication and addition: ` +
      'use the wasm engine',
  );
}
