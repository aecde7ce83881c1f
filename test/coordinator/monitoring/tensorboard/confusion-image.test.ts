import { expect, it } from 'vitest';
import { confusionImage } from '../../../../coordinator/monitoring/tensorboard/confusion-image.js';

const confusion = [
  [3, 1],
  [0, 0],
];

it('each pair of classes is a square: white for no images, dark blue for all images of the class', () => {
  const { width, height, rgb } = confusionImage(confusion);
  // 512 pixels divided by two classes
  expect([width, height]).toEqual([512, 512]);
  const colorAt = (row: number, column: number) => [
    ...rgb.subarray(3 * (512 * row + column), 3 * (512 * row + column) + 3),
  ];
  // Of the first class, a quarter was classified as the second. The root of 1/4 is 1/2, halfway between the two colors:
  // red (255 + 8) / 2 = 131.5, green (255 + 48) / 2 = 151.5, blue (255 + 107) / 2 = 181.
  for (const column of [256, 511]) expect(colorAt(255, column)).toEqual([132, 152, 181]);
  // The second class has no images.
  for (const column of [0, 511]) expect(colorAt(256, column)).toEqual([255, 255, 255]);
});

it('all images of a class that are classified correctly make its square dark blue', () => {
  expect([...confusionImage([[5]]).rgb.subarray(0, 3)]).toEqual([8, 48, 107]);
});

it('1000 classes take a pixel each', () => {
  const identity = Array.from({ length: 1000 }, (_, label) =>
    Array.from({ length: 1000 }, (_unused, predicted) => (label === predicted ? 1 : 0)),
  );
  const { width, rgb } = confusionImage(identity);
  expect(width).toBe(1000);
  expect([...rgb.subarray(3 * 1001 * 7, 3 * 1001 * 7 + 6)]).toEqual([8, 48, 107, 255, 255, 255]);
});
