// A memory of its own for the kernels, with places for pictures and vectors, for tests of single kernels.
import { readFile } from 'node:fs/promises';
import { instantiateKernels, type Kernels, type Walk } from '../../../../worker/engines/wasm/kernels.js';
import { makePictures, type Pictures } from './reference-model.js';

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

  /** The address of so many zero bytes. */
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

  /** A tensor with these pictures; channels that the pictures lack, up to `depth`, are 0. */
  tensor(pictures: Pictures, depth = pictures.channels): number {
    const { count, size } = pictures;
    const address = this.take(count * (size + 2) ** 2 * depth * 4);
    this.#eachPixel(pictures, address, depth, (place, at) => {
      for (let c = 0; c < pictures.channels; c++) place[c] = Math.fround(pictures.values[at + c]);
    });
    return address;
  }

  readTensor(address: number, count: number, size: number, channels: number): Pictures {
    const pictures = makePictures(count, size, channels);
    this.#eachPixel(pictures, address, channels, (place, at) => pictures.values.set(place, at));
    return pictures;
  }

  /** How a convolution walks a tensor: see Walk. */
  walk(address: number, size: number, channels: number, stride: number, row = 0, column = 0): Walk {
    const rowBytes = (size + 2) * channels * 4;
    const pixel = address + (row + 1) * rowBytes + (column + 1) * channels * 4;
    return [pixel, (size + 2) * rowBytes, stride * rowBytes, stride * channels * 4];
  }

  #eachPixel(
    { count, size, channels }: Pictures,
    address: number,
    depth: number,
    visit: (place: Float32Array, at: number) => void,
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
