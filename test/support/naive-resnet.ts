// Forward pass of the ResNet in plain float64 loops, directly from the definitions. Slow; serves as a reference for
// engines.
import type { ConvLayer, BatchNormLayer, ModelLayout } from '../../shared/network/layout.js';

/** Activations for a batch: [image, row, column, channel], row-major. */
interface Activations {
  values: Float64Array;
  images: number;
  size: number;
  channels: number;
}

export interface NaiveResult {
  lossSum: number;
  /** [images, classes] */
  logits: number[];
  correctCount: number;
  /** Means and biased variances of each batch norm's input, in the layout of the statistics vector. */
  batchStatistics: Float64Array;
}

/**
 * @param input preprocessed images
 * @param movingStatistics moving statistics to normalize with; null to use batch statistics
 */
export function naiveForward(
  layout: ModelLayout,
  weights: ArrayLike<number>,
  movingStatistics: ArrayLike<number> | null,
  input: ArrayLike<number>,
  labels: ArrayLike<number>,
): NaiveResult {
  const batchStatistics = new Float64Array(layout.statisticsSize);

  function convolve(x: Activations, layer: ConvLayer): Activations {
    const size = layer.outputSize;
    const out = zeros(x.images, size, layer.outputChannels);
    // SAME padding. If the total is odd, the smaller half goes before the first row and column.
    const needed = Math.max(0, (size - 1) * layer.stride + layer.kernelSize - x.size);
    const before = Math.floor(needed / 2);
    let index = 0;
    for (let image = 0; image < x.images; image++) {
      for (let row = 0; row < size; row++) {
        for (let column = 0; column < size; column++) {
          for (let channel = 0; channel < layer.outputChannels; channel++) {
            let sum = layer.bias === null ? 0 : weights[layer.bias.offset + channel];
            for (let y = 0; y < layer.kernelSize; y++) {
              for (let z = 0; z < layer.kernelSize; z++) {
                const sourceRow = row * layer.stride + y - before;
                const sourceColumn = column * layer.stride + z - before;
                if (Math.min(sourceRow, sourceColumn) < 0 || Math.max(sourceRow, sourceColumn) >= x.size) continue;
                const source = ((image * x.size + sourceRow) * x.size + sourceColumn) * x.channels;
                const kernel = layer.kernel.offset + (y * layer.kernelSize + z) * x.channels * layer.outputChannels;
                for (let i = 0; i < x.channels; i++) {
                  sum += x.values[source + i] * weights[kernel + i * layer.outputChannels + channel];
                }
              }
            }
            out.values[index++] = sum;
          }
        }
      }
    }
    return out;
  }

  function normalize(x: Activations, layer: BatchNormLayer): Activations {
    const out = zeros(x.images, x.size, x.channels);
    const count = x.values.length / x.channels;
    for (let channel = 0; channel < x.channels; channel++) {
      let mean = 0;
      for (let i = channel; i < x.values.length; i += x.channels) mean += x.values[i] / count;
      let variance = 0;
      for (let i = channel; i < x.values.length; i += x.channels) variance += (x.values[i] - mean) ** 2 / count;
      batchStatistics[layer.mean.offset + channel] = mean;
      batchStatistics[layer.variance.offset + channel] = variance;
      if (movingStatistics !== null) {
        mean = movingStatistics[layer.mean.offset + channel]!;
        variance = movingStatistics[layer.variance.offset + channel]!;
      }
      const scale = weights[layer.gamma.offset + channel] / Math.sqrt(variance + layout.spec.bnEpsilon);
      const beta = weights[layer.beta.offset + channel];
      for (let i = channel; i < x.values.length; i += x.channels) out.values[i] = (x.values[i] - mean) * scale + beta;
    }
    return out;
  }

  const { height, channels, classCount } = layout.data;
  let x = zeros(labels.length, height, channels);
  x.values.set(Array.from(input));
  x = relu(normalize(convolve(x, layout.stem.conv), layout.stem.bn));
  for (const block of layout.blocks) {
    const inner = relu(normalize(convolve(x, block.conv1), block.bn1));
    const residual = normalize(convolve(inner, block.conv2), block.bn2);
    if (block.projection !== null) x = convolve(x, block.projection);
    else if (block.conv1.stride === 2) x = subsample(x);
    x = relu({ ...x, values: residual.values.map((value, i) => value + x.values[i]) });
  }

  let lossSum = 0;
  const allLogits: number[] = [];
  let correctCount = 0;
  const pixels = x.size * x.size;
  for (let image = 0; image < x.images; image++) {
    const logits = Array.from({ length: classCount }, (_, label) => weights[layout.dense.bias.offset + label]);
    for (let channel = 0; channel < x.channels; channel++) {
      let mean = 0;
      for (let i = 0; i < pixels; i++) mean += x.values[(image * pixels + i) * x.channels + channel] / pixels;
      const row = layout.dense.kernel.offset + channel * classCount;
      for (let label = 0; label < classCount; label++) logits[label] += mean * weights[row + label];
    }
    allLogits.push(...logits);
    const largest = Math.max(...logits);
    const logSum = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
    lossSum += logSum - logits[labels[image]];
    if (logits.indexOf(largest) === labels[image]) correctCount++;
  }
  return { lossSum, logits: allLogits, correctCount, batchStatistics };
}

function zeros(images: number, size: number, channels: number): Activations {
  return { values: new Float64Array(images * size * size * channels), images, size, channels };
}

function relu(x: Activations): Activations {
  return { ...x, values: x.values.map((value) => Math.max(0, value)) };
}

/** Takes every second row and column, and doubles the number of channels: the first and last quarter are zeros. */
function subsample(x: Activations): Activations {
  const out = zeros(x.images, Math.ceil(x.size / 2), x.channels * 2);
  const quarter = out.channels / 4;
  for (let image = 0; image < x.images; image++) {
    for (let row = 0; row < out.size; row++) {
      for (let column = 0; column < out.size; column++) {
        const source = ((image * x.size + row * 2) * x.size + column * 2) * x.channels;
        const target = ((image * out.size + row) * out.size + column) * out.channels + quarter;
        out.values.set(x.values.subarray(source, source + x.channels), target);
      }
    }
  }
  return out;
}
