// Initial values: of each array as its initializer says, of moving means 0, of moving variances 1.
import { KeyedRandom } from '../../shared/random.js';
import type { Conv2dLayer } from '../../shared/network/layers.js';
import { arrayOf, type ArrayLayout, type ModelLayout, type WeightArray } from '../../shared/network/layout.js';
import { whiteningKernel, type TrainingImages } from './whitening.js';

/**
 * Standard deviation of a standard normal distribution truncated at ±2. As in Keras, dividing by it keeps He's standard
 * deviation despite the truncation.
 */
const truncatedDeviation = 0.87962566103423978;
/** Probability that a standard normal variable is below −2. */
const massBelowCut = 0.022750131948179195;

/**
 * Returns the fan-in of a convolution kernel [height, width, in, out] or dense kernel [in, out]: the product of all
 * axes but the last.
 */
function fanInOf(kernel: ArrayLayout): number {
  return kernel.size / kernel.shape.at(-1)!;
}

/** Returns the fan-out of a kernel: the product of all axes but the last but one. */
function fanOutOf(kernel: ArrayLayout): number {
  return kernel.size / (kernel.shape.at(-2) ?? 1);
}

/** @param images training images in the order of the dataset; needed only for whitening kernels */
export function initialWeights(layout: ModelLayout, seed: number, images?: TrainingImages): Float32Array {
  const weights = new Float32Array(layout.weightsSize);
  layout.weights.forEach((array, index) => {
    const random = new KeyedRandom(seed, 'initialWeights', index);
    fillInitially(arrayOf(weights, array), array, random, () => whiteningOf(layout, array, images));
  });
  return weights;
}

function fillInitially(
  values: Float32Array,
  array: WeightArray,
  random: KeyedRandom,
  whitening: () => Float32Array,
): void {
  switch (array.initializer) {
    case 'zeros':
      return;
    case 'ones':
      values.fill(1);
      return;
    case 'heNormal':
      return fillHeNormal(values, array, random);
    case 'glorotUniform':
      return fillUniform(values, Math.sqrt(6 / (fanInOf(array) + fanOutOf(array))), random);
    case 'fanInUniform':
      return fillUniform(values, 1 / Math.sqrt(fanInOf(array)), random);
    case 'dirac':
      fillUniform(values, 1 / Math.sqrt(fanInOf(array)), random);
      return fillDirac(values, array);
    case 'whitening':
      values.set(whitening());
      return;
    default:
      array.initializer satisfies never;
  }
}

function fillUniform(values: Float32Array, limit: number, random: KeyedRandom): void {
  for (let i = 0; i < values.length; i++) values[i] = limit * (2 * random.uniformAt(i) - 1);
}

function fillHeNormal(values: Float32Array, array: ArrayLayout, random: KeyedRandom): void {
  const deviation = Math.sqrt(2 / fanInOf(array)) / truncatedDeviation;
  for (let i = 0; i < values.length; i++) values[i] = deviation * truncatedNormal(random.uniformAt(i));
}

/** Makes each of the first outputs a copy of the input with the same index, like PyTorch's dirac_. */
function fillDirac(values: Float32Array, { shape: [height, width, inputs, outputs] }: ArrayLayout): void {
  const center = Math.floor(height / 2) * width + Math.floor(width / 2);
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let input = 0; input < inputs; input++) {
      for (let output = 0; output < Math.min(inputs, outputs); output++) {
        const isCopied = pixel === center && input === output;
        values[(pixel * inputs + input) * outputs + output] = isCopied ? 1 : 0;
      }
    }
  }
}

function whiteningOf(layout: ModelLayout, array: WeightArray, images: TrainingImages | undefined): Float32Array {
  if (images === undefined) throw new RangeError(`${array.name} cannot be measured without training images`);
  const layer = layout.layers.find(
    (each): each is Conv2dLayer => each.op === 'conv2d' && each.kernel.name === array.name,
  )!;
  return whiteningKernel(images, layer.kernelSize, layer.filters, layout.graph.channelOrder);
}

export function initialMovingStatistics(layout: ModelLayout): Float32Array {
  const statistics = new Float32Array(layout.statisticsSize);
  for (const array of layout.statistics) {
    if (array.name.endsWith('/moving_variance')) arrayOf(statistics, array).fill(1);
  }
  return statistics;
}

/** Maps a uniform number in [0, 1) to a sample of the standard normal distribution truncated at ±2. */
export function truncatedNormal(uniform: number): number {
  return normalQuantile(massBelowCut + uniform * (1 - 2 * massBelowCut));
}

/**
 * Returns the value below which a standard normal variable lies with this probability: Wichura 1988, algorithm AS 241
 * (PPND16), relative error about 1e-16. Away from the center, the algorithm needs one logarithm, which V8 computes in
 * software, identically on every machine.
 */
export function normalQuantile(probability: number): number {
  const q = probability - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * polynomial(r, centerNumerator)) / polynomial(r, centerDenominator);
  }
  const r = Math.sqrt(-Math.log(q < 0 ? probability : 1 - probability));
  const [numerator, denominator, shift] =
    r <= 5 ? ([nearNumerator, nearDenominator, 1.6] as const) : ([farNumerator, farDenominator, 5] as const);
  const magnitude = polynomial(r - shift, numerator) / polynomial(r - shift, denominator);
  return q < 0 ? -magnitude : magnitude;
}

/** @param coefficients coefficients of x⁰, x¹, x², … */
function polynomial(x: number, coefficients: readonly number[]): number {
  return coefficients.reduceRight((sum, coefficient) => sum * x + coefficient, 0);
}

// The coefficients are kept as Wichura published them, with more digits than a float64 can hold.
/* oxlint-disable no-loss-of-precision */
const centerNumerator = [
  3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125, 45921.953931549871457,
  67265.770927008700853, 33430.575583588128105, 2509.0809287301226727,
];
const centerDenominator = [
  1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867, 39307.89580009271061,
  28729.085735721942674, 5226.495278852545925,
];
const nearNumerator = [
  1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504, 1.27045825245236838258,
  0.24178072517745061177, 0.0227238449892691845833, 7.7454501427834140764e-4,
];
const nearDenominator = [
  1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455, 0.14810397642748007459,
  0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9,
];
const farNumerator = [
  6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123, 0.026532189526576123093,
  0.0012426609473880784386, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
];
const farDenominator = [
  1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525, 7.868691311456132591e-4,
  1.8463183175100546818e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15,
];
