import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { resolveConfig, type ConfigInput } from '../../../shared/config/config.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import {
  identityAugmentation,
  packAugmentation,
  type ImageBatch,
  type Preprocessing,
} from '../../../shared/dataset/image-batch.js';
import { labelAt, recordFormat } from '../../../shared/dataset/record-format.js';
import { cropBatch, labelsOf } from '../../../worker/augmentation.js';
import { PixelAugmenter, type PixelAugmentationKey } from '../../../worker/computation/pixel-augmenter.js';
import { perPixelMean, randomBatch, standardize } from '../../support/random-batch.js';

const key: PixelAugmentationKey = { purpose: 'pixelAugmentation', step: 5, slice: 2 };
const everything = {
  resizedCrop: 0.3,
  brightnessJitter: 0.4,
  contrastJitter: 0.4,
  saturationJitter: 0.4,
  cutout: 8,
} as const;

function augmenterOf(input: ConfigInput, format = cifar10Format, preprocessing: Preprocessing = 'imagenet') {
  return new PixelAugmenter(resolveConfig({ seed: 3, ...input }), format, preprocessing);
}

function augmented(batch: ImageBatch, input: ConfigInput, preprocessing: Preprocessing = 'imagenet'): ImageBatch {
  return augmenterOf(input, batch.format, preprocessing).apply(batch, key);
}

function sha256({ records }: ImageBatch): string {
  return createHash('sha256').update(records).digest('hex');
}

describe('augmentation before the engine', () => {
  it('is off by default, and with `augment` false', () => {
    expect(augmenterOf({}).isActive).toBe(false);
    expect(augmenterOf({ ...everything, augment: false }).isActive).toBe(false);
    for (const [name, value] of Object.entries(everything)) expect(augmenterOf({ [name]: value }).isActive).toBe(true);
  });

  it.each([cifar10Format, recordFormat({ height: 9, width: 20, channels: 1, classCount: 300 })])(
    'keeps labels and applies the flips and crops that the engine would apply (%#)',
    (format) => {
      const batch = randomBatch(20, 8, format);
      // A square of one pixel changes one pixel per image at most.
      const result = augmented(batch, { cutout: 1 });
      expect(labelsOf(result)).toEqual(labelsOf(batch));
      expect([...result.augmentations]).toEqual(Array(20).fill(identityAugmentation));
      const [expected, actual] = [batch, result].map((each) => {
        const out = new Uint8Array(20 * format.imageValues);
        cropBatch(each, out);
        return out;
      });
      for (let image = 0; image < expected.length; image += format.imageValues) {
        let changed = 0;
        for (let i = image; i < image + format.imageValues; i++) if (actual[i] !== expected[i]) changed++;
        expect(changed).toBeLessThanOrEqual(format.channels);
      }
    },
  );

  it('of an image depends on its position in the slice only, not on the other images', () => {
    const batch = randomBatch(12, 8);
    const all = augmented(batch, everything);
    const { recordBytes } = cifar10Format;
    const fewer = augmented({ ...batch, indices: batch.indices.slice(0, 5) }, everything);
    expect(fewer.records).toEqual(all.records.subarray(0, 5 * recordBytes));
    // The same image at another position is another choice.
    const twice = augmented({ ...batch, indices: Uint32Array.of(4, 4) }, everything);
    expect(twice.records.subarray(0, recordBytes)).not.toEqual(twice.records.subarray(recordBytes));
  });

  it('differs between seeds, steps, slices and purposes', () => {
    const batch = randomBatch(4, 8);
    const keys = [key, { ...key, step: 6 }, { ...key, slice: 1 }, { ...key, purpose: 'validationPixelAugmentation' }];
    const hashes = keys.map((each) => sha256(augmenterOf(everything).apply(batch, each as PixelAugmentationKey)));
    hashes.push(sha256(augmented(batch, { ...everything, seed: 4 })));
    expect(new Set(hashes).size).toBe(5);
  });

  it('has the same bytes on every machine', () => {
    const gray = recordFormat({ height: 28, width: 28, channels: 1, classCount: 10 });
    const hashes = [
      ...Object.entries(everything).map(([name, value]) => sha256(augmented(randomBatch(32, 8), { [name]: value }))),
      sha256(augmented(randomBatch(32, 8), everything)),
      sha256(augmented(randomBatch(32, 8, gray), everything)),
    ];
    expect(hashes).toEqual([
      '047f93cdd0c2ae0dcbecc8a3a6554b3c902a6bea3ea5f939f28ff378f3ed09a4',
      'a135402ea4c1eb7ee2c1c6a1fb9873dbd72e75306740aec6c48fccfd1d697e1a',
      '2690260bfa7b7487612c68c3e8b18e2a8312b6af65cd05e184a5fcf0674f9ece',
      '5507772c57050ee74c0d4dc60c65502948cae02d7c6d6af4c42b39005d37668c',
      '61e6b985212a7c2efe664e1100ca708697d2f2ebf86324a62bed865733cb263d',
      'b080804cb46073a990fda25d6856779da6557acf2e2eee78c62e4859b9783016',
      '8422c60965c033228f9cb5497745ae674e100a6555e62be246fd20f107ef3a43',
    ]);
  });

  it('writes to the given memory if it has the right size', () => {
    const batch = randomBatch(4, 8);
    const memory = new Uint8Array(batch.records.length);
    const augmenter = augmenterOf(everything);
    expect(augmenter.apply(batch, key, memory).records).toBe(memory);
    const other = augmenter.apply(batch, key, new Uint8Array(3));
    expect(other.records).toEqual(memory);
  });
});

describe('cutout', () => {
  const white: ImageBatch = {
    records: new Uint8Array(2000 * cifar10Format.recordBytes).fill(255),
    format: cifar10Format,
    indices: Uint32Array.from({ length: 2000 }, (_, index) => index),
    augmentations: new Uint16Array(2000).fill(packAugmentation(4, 4, false)),
  };

  it('fills a square around a random pixel, each with the same probability, and cuts it off at the edges', () => {
    const { records } = augmented(white, { cutout: 8 });
    const { recordBytes, planePixels } = cifar10Format;
    const counts = new Uint32Array(planePixels);
    for (let start = 1; start < records.length; start += recordBytes) {
      for (let pixel = 0; pixel < planePixels; pixel++) if (records[start + pixel] !== 255) counts[pixel]++;
    }
    // A pixel in the middle is in 64 of 1024 squares: 125 of 2000, with a standard deviation of 11. The upper-left pixel is
    // in the 25 squares around rows and columns 0 to 4: 49 of 2000, with a standard deviation of 7. The tolerance is five
    // standard deviations.
    expect(counts[16 * 32 + 16]).toBeGreaterThan(70);
    expect(counts[16 * 32 + 16]).toBeLessThan(180);
    expect(counts[0]).toBeGreaterThan(14);
    expect(counts[0]).toBeLessThan(84);
    const total = counts.reduce((sum, count) => sum + count, 0);
    // The mean height of a square is (4 + 5 + 6 + 7 + 25 × 8 + 7 + 6 + 5) / 32 = 7.5 pixels.
    expect(total / 2000).toBeGreaterThan(55);
    expect(total / 2000).toBeLessThan(57.5);
  });

  it.each([
    { name: 'imagenet', preprocessing: 'imagenet' as const, colors: [124, 117, 104] },
    { name: 'standardize', preprocessing: standardize(), colors: [125, 123, 114] },
    {
      name: 'none',
      preprocessing: { name: 'none' as const, subtract: new Float32Array(3), divide: Float32Array.of(1, 1, 1) },
      colors: [0, 0, 0],
    },
  ])('fills with the bytes that $name brings closest to 0', ({ preprocessing, colors }) => {
    // A square of 64 pixels around any pixel covers the whole image.
    const { records } = augmented({ ...white, indices: Uint32Array.of(0) }, { cutout: 64 }, preprocessing);
    expect([1, 1025, 2049].map((plane) => records[plane])).toEqual(colors);
    expect(labelAt(records, 0, cifar10Format)).toBe(255);
  });

  it('fills with the mean image, pixel by pixel', () => {
    const preprocessing = perPixelMean();
    const { records } = augmented({ ...white, indices: Uint32Array.of(0) }, { cutout: 64 }, preprocessing);
    const rounded = [5, 700].map((pixel) => Math.round(preprocessing.subtract[3 * pixel + 1]));
    expect([5, 700].map((pixel) => records[1 + 1024 + pixel])).toEqual(rounded);
  });
});
