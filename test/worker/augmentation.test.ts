import { describe, expect, it } from 'vitest';
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import {
  cropMargin,
  packAugmentation,
  identityAugmentation,
  identityAugmentations,
  type ImageBatch,
} from '../../shared/dataset/image-batch.js';
import { perPixelMean } from '../support/random-batch.js';
import { recordFormat } from '../../shared/dataset/record-format.js';
import { cropBatch, fillInput, labelsOf } from '../../worker/augmentation.js';

const { planePixels: pixelsPerPlane, recordBytes, imageValues: valuesPerImage } = cifar10Format;

/**
 * Returns records whose red, green and blue bytes are 1 + row, 1 + column and 200 + record index. The label is the
 * record index.
 */
function positionRecords(count: number): Uint8Array {
  const records = new Uint8Array(count * recordBytes);
  for (let record = 0; record < count; record++) {
    const start = record * recordBytes;
    records[start] = record;
    for (let pixel = 0; pixel < pixelsPerPlane; pixel++) {
      records[start + 1 + pixel] = 1 + Math.floor(pixel / 32);
      records[start + 1 + pixelsPerPlane + pixel] = 1 + (pixel % 32);
      records[start + 1 + 2 * pixelsPerPlane + pixel] = 200 + record;
    }
  }
  return records;
}

function batchOf(augmentations: number[], indices: number[] = augmentations.map(() => 0)): ImageBatch {
  return {
    records: positionRecords(Math.max(...indices) + 1),
    format: cifar10Format,
    indices: Uint32Array.from(indices),
    augmentations: Uint16Array.from(augmentations),
  };
}

function cropped(batch: ImageBatch): Uint8Array {
  const out = new Uint8Array(batch.indices.length * valuesPerImage).fill(77);
  cropBatch(batch, out);
  return out;
}

function pixel(images: Uint8Array | Float32Array, image: number, row: number, column: number): number[] {
  const at = image * valuesPerImage + (row * 32 + column) * 3;
  return [...images.subarray(at, at + 3)];
}

describe('cropBatch', () => {
  it('does not change an image with the identity augmentation', () => {
    const images = cropped(batchOf([identityAugmentation]));
    expect(pixel(images, 0, 0, 0)).toEqual([1, 1, 200]);
    expect(pixel(images, 0, 5, 31)).toEqual([6, 32, 200]);
    expect(pixel(images, 0, 31, 0)).toEqual([32, 1, 200]);
  });

  it('flips left to right, so that column 0 shows column 31', () => {
    const images = cropped(batchOf([packAugmentation(cropMargin, cropMargin, true)]));
    expect(pixel(images, 0, 0, 0)).toEqual([1, 32, 200]);
    expect(pixel(images, 0, 9, 31)).toEqual([10, 1, 200]);
  });

  it('pads with four rows and columns of zeros above and to the left of the image', () => {
    const images = cropped(batchOf([packAugmentation(0, 0, false)]));
    expect(pixel(images, 0, 3, 20)).toEqual([0, 0, 0]);
    expect(pixel(images, 0, 20, 3)).toEqual([0, 0, 0]);
    // Row 4 of the window is row 4 of the padded image and row 0 of the image, whose red byte is 1.
    expect(pixel(images, 0, 4, 4)).toEqual([1, 1, 200]);
    expect(pixel(images, 0, 31, 31)).toEqual([28, 28, 200]);
  });

  it('pads with four rows and columns of zeros below and to the right of the image', () => {
    const images = cropped(batchOf([packAugmentation(8, 8, false)]));
    expect(pixel(images, 0, 0, 0)).toEqual([5, 5, 200]);
    expect(pixel(images, 0, 27, 27)).toEqual([32, 32, 200]);
    expect(pixel(images, 0, 28, 0)).toEqual([0, 0, 0]);
    expect(pixel(images, 0, 0, 28)).toEqual([0, 0, 0]);
  });

  it('flips before it crops', () => {
    // Window column 0 is padded column 8: column 4 of the flipped image, and 31 - 4 = 27 of the image. Its green byte
    // is 28.
    const images = cropped(batchOf([packAugmentation(4, 8, true)]));
    expect(pixel(images, 0, 0, 0)).toEqual([1, 28, 200]);
    // Window column 27 is padded column 35: column 31 of the flipped image, and column 0 of the image.
    expect(pixel(images, 0, 0, 27)).toEqual([1, 1, 200]);
    expect(pixel(images, 0, 0, 28)).toEqual([0, 0, 0]);
  });

  it('shifts by up to 15 pixels in each direction', () => {
    for (const [down, right] of [
      [-15, 15],
      [15, -15],
      [11, 12],
      [-5, -6],
    ]) {
      for (const flipped of [false, true]) {
        const augmentation = packAugmentation(cropMargin + down, cropMargin + right, flipped);
        const images = cropped(batchOf([augmentation]));
        for (const [row, column] of [
          [16, 16],
          [0, 0],
          [31, 31],
        ]) {
          const [fromRow, fromColumn] = [row + down, column + right];
          const isInside = Math.min(fromRow, fromColumn) >= 0 && Math.max(fromRow, fromColumn) < 32;
          const shown = [1 + fromRow, 1 + (flipped ? 31 - fromColumn : fromColumn), 200];
          expect(pixel(images, 0, row, column)).toEqual(isInside ? shown : [0, 0, 0]);
        }
      }
    }
  });

  it('matches the definition for all 162 augmentations', () => {
    const wrong: string[] = [];
    for (const flipped of [false, true]) {
      for (let top = 0; top <= 8; top++) {
        for (let left = 0; left <= 8; left++) {
          const images = cropped(batchOf([packAugmentation(top, left, flipped)]));
          for (let row = 0; row < 32; row++) {
            for (let column = 0; column < 32; column++) {
              const sourceRow = top + row - 4;
              const flippedColumn = left + column - 4;
              const inside = Math.min(sourceRow, flippedColumn) >= 0 && Math.max(sourceRow, flippedColumn) < 32;
              const sourceColumn = flipped ? 31 - flippedColumn : flippedColumn;
              const red = images[(row * 32 + column) * 3];
              const green = images[(row * 32 + column) * 3 + 1];
              if (red !== (inside ? sourceRow + 1 : 0) || green !== (inside ? sourceColumn + 1 : 0)) {
                wrong.push(`(${top}, ${left}, ${flipped}), row ${row}, column ${column}`);
              }
            }
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('reflects the image at its edges without repeating them, as numpy does', () => {
    // The image's row or column that each row or column of the padded image shows, as returned by
    // numpy.pad(numpy.arange(32), 4, 'reflect').
    const padded = [4, 3, 2, 1, ...Array(32).keys(), 30, 29, 28, 27];
    const [first, last] = [0, 8].map((corner) =>
      cropped(batchOf([packAugmentation(corner, corner, false, 'reflect')])),
    );
    // The bytes are 1 + row and 1 + column. The first window covers padded rows and columns 0 to 31: 4, 3, 2, 1, 0, …,
    // 27.
    expect(pixel(first, 0, 0, 0)).toEqual([5, 5, 200]);
    expect(pixel(first, 0, 1, 3)).toEqual([4, 2, 200]);
    expect(pixel(first, 0, 4, 4)).toEqual([1, 1, 200]);
    expect(pixel(first, 0, 31, 0)).toEqual([28, 5, 200]);
    // The last window covers padded rows and columns 8 to 39: 4, 5, …, 31, 30, 29, 28, 27.
    expect(pixel(last, 0, 0, 0)).toEqual([5, 5, 200]);
    expect(pixel(last, 0, 27, 28)).toEqual([32, 31, 200]);
    expect(pixel(last, 0, 31, 31)).toEqual([28, 28, 200]);
    // In the flipped image the column is 31 - 4 = 27, whose green byte is 28.
    const flipped = cropped(batchOf([packAugmentation(0, 0, true, 'reflect')]));
    expect(pixel(flipped, 0, 0, 0)).toEqual([5, 28, 200]);

    const wrong: string[] = [];
    for (const isFlipped of [false, true]) {
      for (let corner = 0; corner < 81; corner++) {
        const [top, left] = [Math.floor(corner / 9), corner % 9];
        const images = cropped(batchOf([packAugmentation(top, left, isFlipped, 'reflect')]));
        for (let i = 0; i < pixelsPerPlane; i++) {
          const [row, column] = [padded[top + Math.floor(i / 32)], padded[left + (i % 32)]];
          const expected = [1 + row, 1 + (isFlipped ? 31 - column : column), 200];
          const shown = images.subarray(3 * i, 3 * i + 3);
          if (expected.some((byte, plane) => byte !== shown[plane])) {
            wrong.push(`(${top}, ${left}, ${isFlipped}), pixel ${i}`);
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('does not depend on the kind of padding in a window without padding', () => {
    for (const flipped of [false, true]) {
      const [zeros, reflected] = (['zeros', 'reflect'] as const).map((padding) =>
        cropped(batchOf([packAugmentation(cropMargin, cropMargin, flipped, padding)])),
      );
      expect(reflected).toEqual(zeros);
    }
  });

  it('takes the records in the order of the indices', () => {
    const images = cropped(batchOf([identityAugmentation, identityAugmentation, identityAugmentation], [2, 0, 2]));
    expect([0, 1, 2].map((image) => pixel(images, image, 0, 0)[2])).toEqual([202, 200, 202]);
  });
});

describe('fillInput', () => {
  it('reorders to blue, green, red, subtracts the means and divides by 255', () => {
    const input = new Float32Array(valuesPerImage);
    fillInput(batchOf([identityAugmentation]), 'imagenet', input);
    // At row 9 and column 20, red is 10, green 21 and blue 200.
    const [blue, green, red] = pixel(input, 0, 9, 20);
    expect(blue).toBeCloseTo((200 - 103.939) / 255, 6);
    expect(green).toBeCloseTo((21 - 116.779) / 255, 6);
    expect(red).toBeCloseTo((10 - 123.68) / 255, 6);
  });

  it('preprocesses padding zeros, too', () => {
    const input = new Float32Array(valuesPerImage);
    fillInput(batchOf([packAugmentation(0, 0, false)]), 'imagenet', input);
    expect(pixel(input, 0, 0, 0)).toEqual(
      [-103.939, -116.779, -123.68].map((value) => Math.fround(Math.fround(value) / 255)),
    );
  });

  it('subtracts the per-pixel mean at the position after augmentation', () => {
    const mean = perPixelMean();
    const input = new Float32Array(2 * valuesPerImage);
    fillInput(batchOf([packAugmentation(0, 0, false), identityAugmentation]), mean, input);
    // The first augmentation shifts the image down and right by 4 pixels: row 9, column 20 shows row 5, column 16.
    const bytes = pixel(cropped(batchOf([packAugmentation(0, 0, false)])), 0, 9, 20);
    const means = [0, 1, 2].map((channel) => mean.subtract[3 * (9 * 32 + 20) + channel]);
    const expected = [2, 1, 0].map((channel) => Math.fround(Math.fround(bytes[channel] - means[channel]) / 255));
    expect(pixel(input, 0, 9, 20)).toEqual(expected);
    const plain = [200, 21, 10].map((byte, i) => Math.fround(Math.fround(byte - means[2 - i]) / 255));
    expect(pixel(input, 1, 9, 20)).toEqual(plain);
  });

  it('rounds each operation to float32', () => {
    const input = new Float32Array(valuesPerImage);
    fillInput(batchOf([identityAugmentation]), 'imagenet', input);
    const less = Math.fround(200 - Math.fround(103.939));
    expect(pixel(input, 0, 0, 0)[0]).toBe(Math.fround(less / 255));
  });
});

describe('labelsOf', () => {
  it("reads each record's first byte", () => {
    const batch: ImageBatch = {
      records: positionRecords(4),
      format: cifar10Format,
      indices: Uint32Array.of(3, 1),
      augmentations: identityAugmentations(2),
    };
    expect(labelsOf(batch)).toEqual(Int32Array.of(3, 1));
  });
});

describe('gray images with labels of two bytes', () => {
  // Two images of 9×9 pixels; pixel i of image n is 100 n + i.
  const format = recordFormat({ height: 9, width: 9, channels: 1, classCount: 300 });
  const records = new Uint8Array(2 * format.recordBytes);
  for (let n = 0; n < 2; n++) {
    records.set([n === 0 ? 7 : 43, n], n * format.recordBytes); // 7 and 299
    for (let i = 0; i < 81; i++) records[n * format.recordBytes + 2 + i] = 100 * n + i;
  }
  const batch: ImageBatch = {
    records,
    format,
    indices: Uint32Array.of(1, 0),
    augmentations: Uint16Array.of(identityAugmentation, packAugmentation(4, 3, true)),
  };

  it('have their labels read from both bytes', () => {
    expect([...labelsOf(batch)]).toEqual([299, 7]);
  });

  it('are flipped and cropped in one plane', () => {
    const out = new Uint8Array(2 * 81);
    cropBatch(batch, out);
    expect([...out.subarray(0, 9)]).toEqual([100, 101, 102, 103, 104, 105, 106, 107, 108]);
    // Flipped, then moved one pixel to the right.
    expect([...out.subarray(81, 90)]).toEqual([0, 8, 7, 6, 5, 4, 3, 2, 1]);
  });

  it('are preprocessed with the gray mean of imagenet', () => {
    const input = new Float32Array(2 * 81);
    fillInput(batch, 'imagenet', input);
    expect(input[0]).toBe(Math.fround(Math.fround(100 - Math.fround(117.378639)) / 255));
  });
});
