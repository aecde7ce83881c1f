// Augmentations that engines do not know: resized crops, color jitter and cutout. They are applied to a batch's bytes
// before an engine receives it.
import type { WorkerConfig } from '../../shared/config/config.js';
import {
  identityAugmentations,
  isFlipped,
  type ImageBatch,
  type Preprocessing,
} from '../../shared/dataset/image-batch.js';
import { hasPixelMeans, inputTransformOf } from '../../shared/dataset/input-transform.js';
import type { RecordFormat } from '../../shared/dataset/record-format.js';
import { KeyedRandom } from '../../shared/random.js';
import { cropPlanes } from '../augmentation.js';
import { jitterColors, jitterOrders } from './color-jitter.js';
import { randomWindow, randomWindowDraws, resizeWindow } from './resized-crop.js';

export type PixelAugmentations = Pick<
  WorkerConfig,
  'resizedCrop' | 'brightnessJitter' | 'contrastJitter' | 'saturationJitter' | 'cutout'
>;

/** Positions of an image's random numbers. They determine the bits of every run that uses them. */
const draws = {
  window: 0,
  brightness: randomWindowDraws,
  contrast: randomWindowDraws + 1,
  saturation: randomWindowDraws + 2,
  order: randomWindowDraws + 3,
  cutoutRow: randomWindowDraws + 4,
  cutoutColumn: randomWindowDraws + 5,
};
const drawsPerImage = 32;

/** What the random numbers of a batch derive from: the seed and these. */
export interface PixelAugmentationKey {
  purpose: 'pixelAugmentation' | 'validationPixelAugmentation';
  step: number;
  /** Index of the slice or of the evaluation shard. */
  slice: number;
}

export class PixelAugmenter {
  /** Whether any of the augmentations is on. */
  readonly isActive: boolean;
  readonly #config: PixelAugmentations & Pick<WorkerConfig, 'seed'>;
  readonly #format: RecordFormat;
  /** The image, as planes, that cutout shows: the bytes that preprocessing brings closest to 0. */
  readonly #meanImage: Uint8Array;

  constructor(
    config: PixelAugmentations & Pick<WorkerConfig, 'seed' | 'augment'>,
    format: RecordFormat,
    preprocessing: Preprocessing,
  ) {
    const { augment, resizedCrop, brightnessJitter, contrastJitter, saturationJitter, cutout } = config;
    const hasJitter = brightnessJitter > 0 || contrastJitter > 0 || saturationJitter > 0;
    this.isActive = augment && (resizedCrop !== null || hasJitter || cutout > 0);
    this.#config = config;
    this.#format = format;
    this.#meanImage = cutout > 0 ? meanImageOf(preprocessing, format) : new Uint8Array();
  }

  /**
   * Returns the batch with all augmentations applied to its bytes, also flips and crops. A resized crop replaces the other
   * crop.
   * @param memory memory for the records, if it has the right size
   */
  apply(batch: ImageBatch, key: PixelAugmentationKey, memory?: Uint8Array): ImageBatch {
    const { labelBytes, recordBytes } = this.#format;
    const count = batch.indices.length;
    const bytes = count * recordBytes;
    const records = memory?.length === bytes ? memory : new Uint8Array(bytes);
    const random = new KeyedRandom(this.#config.seed, key.purpose, key.step, key.slice);
    for (const [position, index] of batch.indices.entries()) {
      const source = batch.records.subarray(index * recordBytes, (index + 1) * recordBytes);
      const target = records.subarray(position * recordBytes, (position + 1) * recordBytes);
      target.set(source.subarray(0, labelBytes));
      this.#augmentImage(
        source.subarray(labelBytes),
        batch.augmentations[position],
        random,
        position * drawsPerImage,
        target.subarray(labelBytes),
      );
    }
    const indices = Uint32Array.from({ length: count }, (_, position) => position);
    return { ...batch, records, indices, augmentations: identityAugmentations(count) };
  }

  #augmentImage(
    planes: Uint8Array,
    augmentation: number,
    random: KeyedRandom,
    position: number,
    out: Uint8Array,
  ): void {
    const { resizedCrop, cutout } = this.#config;
    if (resizedCrop === null) {
      cropPlanes(planes, this.#format, augmentation, out);
    } else {
      const window = randomWindow(random, position + draws.window, this.#format, resizedCrop);
      resizeWindow(planes, window, isFlipped(augmentation), this.#format, out);
    }
    this.#jitter(random, position, out);
    if (cutout > 0) this.#cutOut(random, position, out);
  }

  #jitter(random: KeyedRandom, position: number, planes: Uint8Array): void {
    const { brightnessJitter, contrastJitter, saturationJitter } = this.#config;
    const factorOf = (strength: number, draw: number) =>
      strength === 0 ? 1 : 1 + strength * (2 * random.uniformAt(position + draw) - 1);
    const factors = {
      brightness: factorOf(brightnessJitter, draws.brightness),
      contrast: factorOf(contrastJitter, draws.contrast),
      saturation: factorOf(saturationJitter, draws.saturation),
    };
    const order = random.integerAt(position + draws.order, jitterOrders.length);
    jitterColors(planes, this.#format.channels, factors, order);
  }

  /** Replaces a square around a random pixel by the mean image. The part outside the image is ignored. */
  #cutOut(random: KeyedRandom, position: number, planes: Uint8Array): void {
    const { height, width, planePixels } = this.#format;
    const { cutout } = this.#config;
    const top = random.integerAt(position + draws.cutoutRow, height) - Math.floor(cutout / 2);
    const left = random.integerAt(position + draws.cutoutColumn, width) - Math.floor(cutout / 2);
    const [firstColumn, endColumn] = [Math.max(0, left), Math.min(width, left + cutout)];
    for (let plane = 0; plane < planes.length; plane += planePixels) {
      for (let row = Math.max(0, top); row < Math.min(height, top + cutout); row++) {
        const at = plane + row * width;
        planes.set(this.#meanImage.subarray(at + firstColumn, at + endColumn), at + firstColumn);
      }
    }
  }
}

function meanImageOf(preprocessing: Preprocessing, { channels, planePixels, imageValues }: RecordFormat): Uint8Array {
  const transform = inputTransformOf(preprocessing, channels);
  const isPerPixel = hasPixelMeans(transform);
  return Uint8Array.from({ length: imageValues }, (_, i) => {
    const [plane, pixel] = [Math.floor(i / planePixels), i % planePixels];
    const mean = transform.subtract[isPerPixel ? pixel * channels + plane : plane];
    return Math.floor(Math.min(255, Math.max(0, mean)) + 0.5);
  });
}
