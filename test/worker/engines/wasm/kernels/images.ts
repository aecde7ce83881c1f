// Images and vectors in a kernel's memory, and the random values in them, for the tests of the general kernels.
import type { Grid, Strides } from '../../../../../worker/engines/wasm/kernels.js';
import type { KernelMemory } from '../kernel-memory.js';
import { randomValues } from '../samples.js';

export interface ImageShape {
  count: number;
  height: number;
  width: number;
  channels: number;
  /** Width of the border of zeros. */
  border?: number;
}

const depthOf = (channels: number) => 4 * Math.ceil(channels / 4);

/** Images of any height and width, with padding channels of zeros and a border; a vector is an image of one pixel. */
export class Images {
  readonly shape: Required<ImageShape>;
  readonly depth: number;
  readonly address: number;
  readonly #memory: KernelMemory;

  /** @param values [image][row][column][channel]; zeros if omitted */
  constructor(memory: KernelMemory, shape: ImageShape, values?: ArrayLike<number>) {
    this.#memory = memory;
    this.shape = { border: 1, ...shape };
    this.depth = depthOf(shape.channels);
    this.address = memory.take(this.#floats() * 4 + 64);
    if (values) this.write(values);
  }

  get imageBytes(): number {
    const { height, border } = this.shape;
    return (height + 2 * border) * this.rowBytes;
  }

  get rowBytes(): number {
    return (this.shape.width + 2 * this.shape.border) * this.pixelBytes;
  }

  get pixelBytes(): number {
    return 4 * this.depth;
  }

  /** Address of pixel (0, 0) of image 0. */
  get origin(): number {
    return this.address + this.shape.border * (this.rowBytes + this.pixelBytes);
  }

  grid(first = 0, count = this.shape.count - first): Grid {
    const { height, width } = this.shape;
    return [this.imageBytes, this.rowBytes, height, width, this.depth, first, count];
  }

  strides(stride = 1, row = 0, column = 0): Strides {
    const origin = this.origin + row * this.rowBytes + column * this.pixelBytes;
    return [origin, this.imageBytes, stride * this.rowBytes, stride * this.pixelBytes];
  }

  write(values: ArrayLike<number>): void {
    const all = new Float32Array(this.#floats());
    this.#eachValue((at, index) => (all[at] = values[index]));
    this.#memory.writeFloats(this.address, all);
  }

  read(): Float32Array {
    const all = this.#memory.readFloats(this.address, this.#floats());
    const { count, height, width, channels } = this.shape;
    const values = new Float32Array(count * height * width * channels);
    this.#eachValue((at, index) => (values[index] = all[at]));
    return values;
  }

  /** Returns whether the border and the padding channels are all 0. */
  isPaddingZero(): boolean {
    const all = this.#memory.readFloats(this.address, this.#floats());
    this.#eachValue((at) => (all[at] = 0));
    return all.every((value) => value === 0);
  }

  #floats(): number {
    return (this.shape.count * this.imageBytes) / 4;
  }

  #eachValue(visit: (at: number, index: number) => void): void {
    const { count, height, width, channels } = this.shape;
    const [imageFloats, rowFloats] = [this.imageBytes / 4, this.rowBytes / 4];
    const origin = (this.origin - this.address) / 4;
    let index = 0;
    for (let image = 0; image < count; image++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const pixel = origin + image * imageFloats + y * rowFloats + x * this.depth;
          for (let c = 0; c < channels; c++) visit(pixel + c, index++);
        }
      }
    }
  }
}

/** Returns images with random values between -scale and scale. */
export function randomImages(memory: KernelMemory, shape: ImageShape, seed: number, scale = 1): Images {
  const { count, height, width, channels } = shape;
  const values = randomValues(count * height * width * channels, seed);
  return new Images(
    memory,
    shape,
    values.map((value) => value * scale),
  );
}
