import { expect, it } from 'vitest';
import { writePixels } from '../../inference/image-record.js';
import { recordFormat } from '../../shared/dataset/record-format.js';

/** Two pixels: pure red, and gray. */
const planes = Uint8Array.of(255, 77, 0, 77, 0, 77);

it('a color record gets the planes after its label', () => {
  const record = new Uint8Array(7);
  writePixels(planes, record, recordFormat({ height: 1, width: 2, channels: 3, classCount: 2 }));
  expect([...record]).toEqual([0, ...planes]);
});

it('a gray record gets the luminance, which a gray pixel keeps', () => {
  // A label of two bytes. Red alone: 0.299 × 255 = 76.2.
  const record = new Uint8Array(4);
  writePixels(planes, record, recordFormat({ height: 1, width: 2, channels: 1, classCount: 300 }));
  expect([...record]).toEqual([0, 0, 76, 77]);
});
