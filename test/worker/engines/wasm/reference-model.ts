// Reference for the engines: the ResNet's training step in slow float64 loops that follow the definition.
import { labelAt } from '../../../../shared/dataset/record-format.js';
import {
  imagenetMeans,
  isFlipped,
  isReflected,
  cropLeft,
  cropTop,
  type ImageBatch,
  type Preprocessing,
} from '../../../../shared/dataset/image-batch.js';
import type { ChannelOrder } from '../../../../shared/network/graph.js';
import type { ArrayLayout, BatchNormLayer, ConvLayer, ModelLayout } from '../../../../shared/network/layout.js';

/** Feature maps of several images, in the shape [image][size][size][channels]. */
export interface FeatureMaps {
  count: number;
  size: number;
  channels: number;
  values: Float64Array;
}

export function makeFeatureMaps(count: number, size: number, channels: number): FeatureMaps {
  return { count, size, channels, values: new Float64Array(count * size * size * channels) };
}

/** Calls `visit` with the indices of every product of a convolution with TensorFlow's SAME padding. */
function eachProduct(
  layer: Pick<ConvLayer, 'kernelSize' | 'stride' | 'inputChannels' | 'outputChannels' | 'inputSize' | 'outputSize'>,
  count: number,
  visit: (input: number, weight: number, output: number) => void,
): void {
  const { kernelSize, stride, inputChannels, outputChannels, inputSize, outputSize } = layer;
  const before = Math.floor(Math.max((outputSize - 1) * stride + kernelSize - inputSize, 0) / 2);
  for (let image = 0; image < count; image++) {
    for (let y = 0; y < outputSize; y++) {
      for (let x = 0; x < outputSize; x++) {
        const output = ((image * outputSize + y) * outputSize + x) * outputChannels;
        for (let row = 0; row < kernelSize; row++) {
          const fromY = y * stride + row - before;
          if (fromY < 0 || fromY >= inputSize) continue;
          for (let column = 0; column < kernelSize; column++) {
            const fromX = x * stride + column - before;
            if (fromX < 0 || fromX >= inputSize) continue;
            const input = ((image * inputSize + fromY) * inputSize + fromX) * inputChannels;
            const tap = (row * kernelSize + column) * inputChannels;
            for (let i = 0; i < inputChannels; i++) {
              for (let o = 0; o < outputChannels; o++) {
                visit(input + i, (tap + i) * outputChannels + o, output + o);
              }
            }
          }
        }
      }
    }
  }
}

export function convolve(
  layer: ConvLayer,
  input: FeatureMaps,
  kernel: ArrayLike<number>,
  bias?: ArrayLike<number>,
): FeatureMaps {
  const output = makeFeatureMaps(input.count, layer.outputSize, layer.outputChannels);
  eachProduct(layer, input.count, (i, w, o) => {
    output.values[o] += input.values[i] * kernel[w];
  });
  if (bias) for (let i = 0; i < output.values.length; i++) output.values[i] += bias[i % output.channels];
  return output;
}

export function convolveBackward(
  layer: ConvLayer,
  input: FeatureMaps,
  kernel: ArrayLike<number>,
  gradient: FeatureMaps,
) {
  const inputGradient = makeFeatureMaps(input.count, input.size, input.channels);
  const kernelGradient = new Float64Array(kernel.length);
  eachProduct(layer, input.count, (i, w, o) => {
    inputGradient.values[i] += kernel[w] * gradient.values[o];
    kernelGradient[w] += input.values[i] * gradient.values[o];
  });
  const biasGradient = new Float64Array(gradient.channels);
  for (let i = 0; i < gradient.values.length; i++) biasGradient[i % gradient.channels] += gradient.values[i];
  return { inputGradient, kernelGradient, biasGradient };
}

interface Norm {
  mean: Float64Array;
  variance: Float64Array;
}

function momentsOf({ values, channels }: FeatureMaps): Norm {
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  const elements = values.length / channels;
  for (let i = 0; i < values.length; i++) mean[i % channels] += values[i] / elements;
  for (let i = 0; i < values.length; i++) variance[i % channels] += (values[i] - mean[i % channels]) ** 2 / elements;
  return { mean, variance };
}

export interface ReferenceResult {
  lossSum: number;
  /** Logits in the shape [images, classes]. */
  logits: number[];
  correctCount: number;
  gradientSum: Float64Array;
  batchStatistics: Float64Array;
}

export interface ReferenceOptions {
  labelSmoothing?: number;
  preprocessing?: Preprocessing;
}

export class ReferenceModel {
  readonly #layout: ModelLayout;
  readonly #weights: ArrayLike<number> & { slice(from: number, to: number): ArrayLike<number> };
  readonly #moving: Float32Array | null;
  readonly #labelSmoothing: number;
  readonly #preprocessing: Preprocessing;
  readonly #gradient: Float64Array;
  readonly #statistics: Float64Array;

  /** @param moving moving statistics, or null to normalize with the statistics of the batch */
  constructor(
    layout: ModelLayout,
    weights: Float64Array | Float32Array,
    moving: Float32Array | null = null,
    { labelSmoothing = 0, preprocessing = 'imagenet' }: ReferenceOptions = {},
  ) {
    this.#labelSmoothing = labelSmoothing;
    this.#preprocessing = preprocessing;
    this.#layout = layout;
    this.#weights = weights;
    this.#moving = moving;
    this.#gradient = new Float64Array(layout.weightsSize);
    this.#statistics = new Float64Array(layout.statisticsSize);
  }

  /** Runs only the forward pass and returns the loss. */
  loss(batch: ImageBatch): number {
    return this.#run(batch, false).lossSum;
  }

  compute(batch: ImageBatch): ReferenceResult {
    return this.#run(batch, this.#moving === null);
  }

  #run(batch: ImageBatch, isBackward: boolean): ReferenceResult {
    this.#gradient.fill(0);
    const { stem, blocks, dense } = this.#layout;
    const images = inputOf(batch, this.#preprocessing);
    const stemOutput = this.#convolveNormalize(stem.conv, stem.bn, images, null);
    let activation = stemOutput.output;
    const steps: ((gradient: FeatureMaps) => FeatureMaps)[] = [(gradient) => stemOutput.backward(gradient).input];
    for (const { conv1, bn1, conv2, bn2, projection } of blocks) {
      const input = activation;
      const half1 = this.#convolveNormalize(conv1, bn1, input, null);
      const shortcut = this.#shortcut(conv1, projection, input);
      const half2 = this.#convolveNormalize(conv2, bn2, half1.output, shortcut.output);
      activation = half2.output;
      steps.push((gradient) => {
        const second = half2.backward(gradient);
        const first = half1.backward(second.input).input;
        const around = shortcut.backward(second.shortcut);
        return { ...first, values: first.values.map((value, i) => value + around.values[i]) };
      });
    }

    const { count, size, channels } = activation;
    const { classCount } = batch.format;
    const pixels = size * size;
    const kernel = this.#array(dense.kernel);
    const bias = this.#array(dense.bias);
    let lossSum = 0;
    let correctCount = 0;
    const allLogits: number[] = [];
    let gradient = makeFeatureMaps(count, size, channels);
    for (let image = 0; image < count; image++) {
      const pooled = new Float64Array(channels);
      const begin = image * pixels * channels;
      for (let i = 0; i < pixels * channels; i++) pooled[i % channels] += activation.values[begin + i] / pixels;
      const logits = Array.from({ length: classCount }, (_, c) =>
        pooled.reduce((sum, value, i) => sum + value * kernel[i * classCount + c], bias[c]),
      );
      allLogits.push(...logits);
      const label = labelAt(batch.records, batch.indices[image], batch.format);
      const largest = Math.max(...logits);
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
      const target = (c: number) => (c === label ? 1 - this.#labelSmoothing : 0) + this.#labelSmoothing / classCount;
      lossSum += Math.log(total) + largest - logits.reduce((sum, logit, c) => sum + target(c) * logit, 0);
      if (logits.indexOf(largest) === label) correctCount++;
      const logitGradient = logits.map((logit, c) => Math.exp(logit - largest) / total - target(c));
      for (let c = 0; c < classCount; c++) {
        this.#gradient[dense.bias.offset + c] += logitGradient[c];
        for (let i = 0; i < channels; i++) {
          this.#gradient[dense.kernel.offset + i * classCount + c] += pooled[i] * logitGradient[c];
        }
      }
      for (let i = 0; i < pixels * channels; i++) {
        const channel = i % channels;
        const sum = logitGradient.reduce((total, g, c) => total + g * kernel[channel * classCount + c], 0);
        gradient.values[begin + i] = sum / pixels;
      }
    }
    if (isBackward) for (const step of steps.toReversed()) gradient = step(gradient);
    return { lossSum, correctCount, logits: allLogits, gradientSum: this.#gradient, batchStatistics: this.#statistics };
  }

  #array({ offset, size }: ArrayLayout): ArrayLike<number> {
    return this.#weights.slice(offset, offset + size);
  }

  #addGradient({ offset }: ArrayLayout, values: Float64Array): void {
    for (let i = 0; i < values.length; i++) this.#gradient[offset + i] += values[i];
  }

  /** Computes ReLU(batch norm(convolution(input)) + shortcut). */
  #convolveNormalize(conv: ConvLayer, bn: BatchNormLayer, input: FeatureMaps, shortcut: FeatureMaps | null) {
    const kernel = this.#array(conv.kernel);
    const convolved = convolve(conv, input, kernel, conv.bias ? this.#array(conv.bias) : undefined);
    const { channels, values } = convolved;
    const gamma = this.#array(bn.gamma);
    const beta = this.#array(bn.beta);
    const own = momentsOf(convolved);
    const { mean, variance } = this.#moving
      ? {
          mean: this.#moving.subarray(bn.mean.offset, bn.mean.offset + channels),
          variance: this.#moving.subarray(bn.variance.offset, bn.variance.offset + channels),
        }
      : own;
    this.#statistics.set(own.mean, bn.mean.offset);
    this.#statistics.set(own.variance, bn.variance.offset);
    const deviation = Array.from(variance, (value) => Math.sqrt(value + this.#layout.spec.bnEpsilon));
    const normalized = values.map((value, i) => (value - mean[i % channels]) / deviation[i % channels]);
    const output = {
      ...convolved,
      values: normalized.map((value, i) =>
        Math.max(0, value * gamma[i % channels] + beta[i % channels] + (shortcut ? shortcut.values[i] : 0)),
      ),
    };
    const backward = (gradient: FeatureMaps) => {
      const masked = { ...gradient, values: gradient.values.map((value, i) => (output.values[i] > 0 ? value : 0)) };
      const sum = new Float64Array(channels);
      const products = new Float64Array(channels);
      for (let i = 0; i < values.length; i++) {
        sum[i % channels] += masked.values[i];
        products[i % channels] += masked.values[i] * normalized[i];
      }
      this.#addGradient(bn.beta, sum);
      this.#addGradient(bn.gamma, products);
      const elements = values.length / channels;
      const before = masked.values.map((value, i) => {
        const c = i % channels;
        return (gamma[c] / deviation[c]) * (value - sum[c] / elements - (normalized[i] * products[c]) / elements);
      });
      const { inputGradient, kernelGradient, biasGradient } = convolveBackward(conv, input, kernel, {
        ...gradient,
        values: before,
      });
      this.#addGradient(conv.kernel, kernelGradient);
      if (conv.bias) this.#addGradient(conv.bias, biasGradient);
      return { input: inputGradient, shortcut: masked };
    };
    return { output, backward };
  }

  #shortcut(conv1: ConvLayer, projection: ConvLayer | null, input: FeatureMaps) {
    if (conv1.stride === 1) return { output: input, backward: (gradient: FeatureMaps) => gradient };
    if (projection) {
      const kernel = this.#array(projection.kernel);
      const bias = projection.bias ? this.#array(projection.bias) : undefined;
      const backward = (gradient: FeatureMaps) => {
        const { inputGradient, kernelGradient, biasGradient } = convolveBackward(projection, input, kernel, gradient);
        this.#addGradient(projection.kernel, kernelGradient);
        if (projection.bias) this.#addGradient(projection.bias, biasGradient);
        return inputGradient;
      };
      return { output: convolve(projection, input, kernel, bias), backward };
    }
    const { outputSize: size, outputChannels: channels, inputSize, inputChannels } = conv1;
    const output = makeFeatureMaps(input.count, size, channels);
    const pairs: [from: number, to: number][] = [];
    for (let image = 0; image < input.count; image++) {
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          for (let c = 0; c < inputChannels; c++) {
            const from = ((image * inputSize + 2 * y) * inputSize + 2 * x) * inputChannels + c;
            pairs.push([from, ((image * size + y) * size + x) * channels + channels / 4 + c]);
          }
        }
      }
    }
    for (const [from, to] of pairs) output.values[to] = input.values[from]!;
    const backward = (gradient: FeatureMaps) => {
      const inputGradient = makeFeatureMaps(input.count, inputSize, inputChannels);
      for (const [from, to] of pairs) inputGradient.values[from] = gradient.values[to]!;
      return inputGradient;
    };
    return { output, backward };
  }
}

/** Maps a row or column of the padded image to the image. With zero padding, the result may be outside the image. */
function sourceIndex(augmentation: number, index: number, size: number): number {
  if (!isReflected(augmentation)) return index;
  if (index < 0) return -index;
  return index < size ? index : 2 * (size - 1) - index;
}

/** Returns the network's input, with channels in this order, or gray alone. */
export function inputOf(
  { records, format, indices, augmentations }: ImageBatch,
  preprocessing: Preprocessing = 'imagenet',
  channelOrder: ChannelOrder = 'bgr',
): FeatureMaps {
  const { height, width, channels, labelBytes, recordBytes, planePixels } = format;
  const { red, green, blue, gray } = imagenetMeans;
  const means = channels === 1 ? [gray] : [red, green, blue];
  const { subtract, divide } =
    preprocessing === 'imagenet' ? { subtract: means, divide: [255, 255, 255] } : preprocessing;
  const values = new Float64Array(indices.length * height * width * channels);
  let at = 0;
  for (const [image, index] of indices.entries()) {
    const augmentation = augmentations[image];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const fromY = sourceIndex(augmentation, y + cropTop(augmentation) - 4, height);
        const paddedX = sourceIndex(augmentation, x + cropLeft(augmentation) - 4, width);
        const fromX = isFlipped(augmentation) ? width - 1 - paddedX : paddedX;
        const inside = fromY >= 0 && fromY < height && fromX >= 0 && fromX < width;
        for (let c = 0; c < channels; c++) {
          const color = channelOrder === 'bgr' ? channels - 1 - c : c;
          const source = index * recordBytes + labelBytes + color * planePixels + fromY * width + fromX;
          const mean = subtract.length === channels ? subtract[color] : subtract[channels * (width * y + x) + color];
          values[at++] = ((inside ? records[source] : 0) - mean) / divide[color];
        }
      }
    }
  }
  return { count: indices.length, size: height, channels, values };
}
