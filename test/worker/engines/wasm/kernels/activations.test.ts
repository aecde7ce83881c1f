// Activations and their gradients, compared with float64.
import { expect, describe, test } from 'vitest';
import { activations } from '../../../../../shared/network/graph.js';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/**
 * Returns Φ(x), to about 1e-15 relative to the result: in the tail by Laplace's continued fraction, elsewhere by the
 * Taylor series of the error function.
 */
function normalCumulative(x: number): number {
  const a = Math.abs(x);
  const density = Math.exp((-a * a) / 2) / Math.sqrt(2 * Math.PI);
  let tail: number;
  if (a > 3) {
    let fraction = a;
    for (let n = 200; n >= 1; n--) fraction = a + n / fraction;
    tail = density / fraction;
  } else {
    let sum = a;
    let term = a;
    for (let n = 1; n < 100; n++) {
      term *= (a * a) / (2 * n + 1);
      sum += term;
    }
    tail = 0.5 - density * sum;
  }
  return x > 0 ? 1 - tail : tail;
}

const density = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

const functions: Record<(typeof activations)[number], { value: (x: number) => number; slope: (x: number) => number }> =
  {
    relu: { value: (x) => Math.max(x, 0), slope: (x) => (x > 0 ? 1 : 0) },
    relu6: { value: (x) => Math.min(Math.max(x, 0), 6), slope: (x) => (x > 0 && x < 6 ? 1 : 0) },
    gelu: { value: (x) => x * normalCumulative(x), slope: (x) => normalCumulative(x) + x * density(x) },
    silu: { value: (x) => x * sigmoid(x), slope: (x) => sigmoid(x) * (1 + x * sigmoid(-x)) },
    sigmoid: { value: (x) => sigmoid(x), slope: (x) => sigmoid(x) * sigmoid(-x) },
  };

/** A dense grid where the functions bend, sparser up to 120 where e^-x underflows, and extreme values. */
function gridOfInputs(): Float32Array {
  const values = [0, -0, 1e-45, -1e-45, 1e-38, -1e-38, 1e-8, -1e-8, 6, 1e30, -1e30, 3.4e38, -3.4e38];
  for (let x = -16; x <= 16; x += 0.0037) values.push(x);
  for (let x = 16; x < 130; x += 0.171) values.push(x, -x);
  while (values.length % 4 !== 0) values.push(0);
  return Float32Array.from(values);
}

describe.each(activations.map((name, number) => ({ name, number })))('$name', ({ name, number }) => {
  const { value, slope } = functions[name];
  const inputs = gridOfInputs();
  const memory = new KernelMemory();
  const { kernels } = memory;
  const shape = { count: 1, height: 1, width: 1, channels: inputs.length, border: 0 };
  const source = new Images(memory, shape, inputs);

  /** Returns the inputs whose result is further from the expected one than the tolerance, with both. */
  function wrongResults(
    actual: Float32Array,
    expectedAt: (x: number) => number,
    toleranceAt: (x: number, expected: number) => number,
  ): [x: number, actual: number, expected: number][] {
    return Array.from(inputs, (x, index): [number, number, number] => [x, actual[index], expectedAt(x)]).filter(
      // Also if the result is NaN
      ([x, result, expected]) => !(Math.abs(result - expected) <= toleranceAt(x, expected)),
    );
  }
  /** Results below the smallest normal number have fewer bits. */
  const underflow = 2e-43;

  test('agrees with float64 on a grid of inputs, to 4e-7 relative to the result', () => {
    const target = new Images(memory, shape);
    kernels.activate(number, source.origin, target.origin, inputs.length, ...source.grid());
    const tolerance = (_: number, expected: number) => 4e-7 * Math.abs(expected) + underflow;
    expect(wrongResults(target.read(), value, tolerance)).toEqual([]);
  });

  test('has a gradient that agrees with float64 on a grid of inputs', () => {
    const target = new Images(memory, shape);
    const ones = new Images(memory, shape, new Float32Array(inputs.length).fill(1));
    kernels.activateGradient(number, ones.origin, source.origin, target.origin, false, ...source.grid());
    // Around their zero, slopes are sums of terms of about 0.2.
    const tolerance = (x: number, expected: number) => (Math.abs(x) < 3 ? 2e-7 : 1e-6 * Math.abs(expected) + underflow);
    expect(wrongResults(target.read(), slope, tolerance)).toEqual([]);
  });

  test('works on a range of images with padding channels, which stay 0, and adds to an existing gradient', () => {
    const images = { count: 4, height: 3, width: 5, channels: 6 };
    const x = randomImages(memory, images, 1, 4);
    const y = new Images(memory, images);
    kernels.activate(number, x.origin, y.origin, 6, ...x.grid(1, 2));
    const perImage = 3 * 5 * 6;
    const isInRange = (index: number) => index >= perImage && index < 3 * perImage;
    const inputValues = x.read();
    const expected = inputValues.map((input, index) => (isInRange(index) ? value(input) : 0));
    expect(maxError(y.read(), expected)).toBeLessThan(1e-6);
    expect(y.isPaddingZero()).toBe(true);

    const gradient = randomImages(memory, images, 2);
    const existing = randomValues(inputValues.length, 3);
    const target = new Images(memory, images, existing);
    kernels.activateGradient(number, gradient.origin, x.origin, target.origin, true, ...x.grid(1, 2));
    const gradients = gradient.read();
    const sums = existing.map(
      (before, index) => before + (isInRange(index) ? gradients[index] * slope(inputValues[index]) : 0),
    );
    expect(maxError(target.read(), sums)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });
});
