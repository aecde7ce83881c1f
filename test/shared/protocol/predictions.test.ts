import { describe, expect, it } from 'vitest';
import { decodePredictions, encodePredictions, noClass } from '../../../shared/protocol/predictions.js';

describe.each([
  { classCount: 10, bytes: 1, classes: [0, 9, noClass] },
  { classCount: 255, bytes: 1, classes: [254, noClass, 0] },
  // With 256 classes, 255 is a class, so one byte has no value left for an image without one.
  { classCount: 256, bytes: 2, classes: [255, noClass, 0] },
  { classCount: 65_535, bytes: 2, classes: [65_534, noClass, 256] },
])('predictions of $classCount classes', ({ classCount, bytes, classes }) => {
  const payload = encodePredictions(Uint16Array.from(classes), classCount);

  it(`take ${bytes} bytes each and are restored`, () => {
    expect(payload).toHaveLength(bytes * classes.length);
    expect([...decodePredictions(payload, classes.length, classCount)]).toEqual(classes);
  });

  it('are restored from a payload at an odd offset', () => {
    const shifted = Uint8Array.from([0, ...payload]).subarray(1);
    expect([...decodePredictions(shifted, classes.length, classCount)]).toEqual(classes);
  });

  it('are rejected if bytes are missing or a class does not exist', () => {
    const bad = expect.objectContaining({ name: 'ProtocolError' });
    expect(() => decodePredictions(payload.subarray(1), classes.length, classCount)).toThrow(bad);
    if (classCount >= 65_535 || classCount === 255) return;
    const unknown = encodePredictions(Uint16Array.of(classCount), 65_535).subarray(0, bytes);
    expect(() => decodePredictions(unknown, 1, classCount)).toThrow(bad);
  });
});
