// WebAssembly memory for tests of individual kernels: allocates, writes and reads tensors and vectors.
import { readFile } from 'node:fs/promises';
import { instantiateKernels, type Kernels, type Strides } from '../../../../worker/engines/wasm/kernels.js';

/** Square feature maps of several images, in the shape [image][size][size][channels]. */
export interface FeatureMaps {
  count: number;
  size: number;
  channels: number;
  values: Float64Array;
}

export function makeFeatureMaps(count: number, size: number, channels: number): FeatureMaps {
  return { count, size, channels, values: new Float64Array(count * size * size * channels) };
}

const module = await WebAssembly.compile(
  await readFile(new URL('../../../../dist/worker/engines/wasm/kernels.wasm', import.meta.url)),
);

export class KernelMemory {
  readonly kernels: Kernels;
  readonly #memory = new WebAssembly.Memory({ initial: 512 });
  #next = 1024;

  constructor() {
    this.kernels = instantiateKernels(module, this.#memory);
  }

  /** Allocates zero-filled memory and returns its address. */
  take(bytes: number): number {
    const address = this.#next;
    this.#next = Math.ceil((address + bytes) / 64) * 64;
    return address;
  }

  floats(values: ArrayLike<number>): number {
    const address = this.take(4 * values.length);
    new Float32Array(this.#memory.buffer, address, values.length).set(values);
    return address;
  }

  writeFloats(address: number, values: Float32Array): void {
    new Float32Array(this.#memory.buffer, address, values.length).set(values);
  }

  words(values: readonly number[]): number {
    const address = this.take(4 * values.length);
    new Int32Array(this.#memory.buffer, address, values.length).set(values);
    return address;
  }

  bytes(values: Uint8Array): number {
    const address = this.take(values.length);
    new Uint8Array(this.#memory.buffer, address, values.length).set(values);
    return address;
  }

  readFloats(address: number, count: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, count).slice();
  }

  readDoubles(address: number, count: number): Float64Array {
    return new Float64Array(this.#memory.buffer, address, count).slice();
  }

  readWords(address: number, count: number): Int32Array {
    return new Int32Array(this.#memory.buffer, address, count).slice();
  }

  /** Writes a tensor, with additional channels of zeros up to `depth` channels, and returns its address. */
  tensor(maps: FeatureMaps, depth = maps.channels): number {
    const { count, size } = maps;
    const address = this.take(count * (size + 2) ** 2 * depth * 4);
    this.#eachPixel(maps, address, depth, (pixel, at) => {
      for (let c = 0; c < maps.channels; c++) pixel[c] = Math.fround(maps.values[at + c]);
    });
    return address;
  }

  readTensor(address: number, count: number, size: number, channels: number): FeatureMaps {
    const maps = makeFeatureMaps(count, size, channels);
    this.#eachPixel(maps, address, channels, (pixel, at) => maps.values.set(pixel, at));
    return maps;
  }

  strides(address: number, size: number, channels: number, stride: number, row = 0, column = 0): Strides {
    const rowBytes = (size + 2) * channels * 4;
    const pixel = address + (row + 1) * rowBytes + (column + 1) * channels * 4;
    return [pixel, (size + 2) * rowBytes, stride * rowBytes, stride * channels * 4];
  }

  #eachPixel(
    { count, size, channels }: FeatureMaps,
    address: number,
    depth: number,
    visit: (pixel: Float32Array, at: number) => void,
  ): void {
    let at = 0;
    for (let image = 0; image < count; image++) {
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          const pixel = (image * (size + 2) + y + 1) * (size + 2) + x + 1;
          visit(new Float32Array(this.#memory.buffer, address + pixel * depth * 4, depth), at);
          at += channels;
        }
      }
    }
  }
}
