// Memory plan for data that does not depend on the number of images: weights, gradients, tables, sums, and the private
// memory of each thread. Pure.
import type { BatchNormLayer, ConvLayer, ModelLayout, ResidualBlock } from '../../../../shared/network/layout.js';
import { Allocator, imagesPerBlock, pixelOffset, type ThreadMemory } from './tensor.js';

/**
 * Maximum number of tiles in a pass over images. Threads share the tiles, so any threads beyond this number are idle in
 * these passes.
 */
export const maxTiles = 8;
/** Number of values in a plane: `planeValues` in assembly/winograd.ts. A plane holds at least 4 Winograd tiles. */
const winogradPlaneValues = 2048;
const winogradPlaneBytes = 4 * winogradPlaneValues + 64;
/**
 * Returns the size of a thread's scratch memory: two sets of 36 planes, and the columns of an image, with its border, of 6
 * vectors each for a transform.
 */
const scratchBytesFor = (size: number) => 2 * 36 * winogradPlaneBytes + Math.max(34, size + 2) * 6 * 16;
/**
 * Bytes after the last tensor, because convolutions compute four pixels at a time: they read up to three pixels after the
 * last row, with a stride of 2, and discard the result.
 */
const slackPixels = 8;
/** Bytes reserved at the beginning of the memory for the control words that synchronize the threads. */
export const controlBytes = 256;

/** Taps and packed weights for a direct kernel. */
export interface PackedTaps {
  values: readonly Tap[];
  tapCount: number;
  /** Address of the table of the taps' byte offsets in the source tensor. */
  offsets: number;
  /** Address of the table with the index of each tap's first weight in the layer's kernel array. */
  elements: number;
  weights: number;
}

interface Tap {
  offset: number;
  element: number;
}

export interface ConvPlan {
  layer: ConvLayer;
  /** Number of channels of the input tensor: the layer's input channels; 4 for the stem, whose images have 3. */
  depth: number;
  /** Addresses of the transformed filters; null for a layer that is computed directly. */
  winograd: { forward: number; turned: number } | null;
  /** Forward taps; null for a layer that is computed with Winograd's algorithm. */
  forward: PackedTaps | null;
  /**
   * Taps for the input gradient of a layer that is computed directly, with one entry per phase: the row and column of
   * an input pixel modulo the stride. A 1×1 filter has only phase (0, 0), because it does not read the other pixels.
   * Empty for Winograd layers, and for the stem, whose input needs no gradient.
   */
  inputGradient: readonly { row: number; column: number; taps: PackedTaps }[];
  kernel: number;
  kernelGradient: number;
  /** Address of the bias; 0 for a layer without a bias. */
  bias: number;
  biasGradient: number;
}

export interface BatchNormPlan {
  channels: number;
  gamma: number;
  beta: number;
  gammaGradient: number;
  betaGradient: number;
  movingStatistics: number;
  batchStatistics: number;
  coefficients: number;
}

export interface BlockPlan {
  block: ResidualBlock;
  /** Number of the block's group, 1 to 3. */
  group: number;
  conv1: ConvPlan;
  bn1: BatchNormPlan;
  conv2: ConvPlan;
  bn2: BatchNormPlan;
  projection: ConvPlan | null;
}

/** Addresses of the flat vectors, which are in layout order. */
interface Vectors {
  weights: number;
  movingStatistics: number;
  gradient: number;
  batchStatistics: number;
}

export interface FixedPlan extends Vectors {
  layout: ModelLayout;
  preprocessedValues: number;
  /** Addresses of the tables for per-pixel preprocessing: 4 means for each pixel, and 4 divisors. */
  pixelMeans: number;
  pixelDivisors: number;
  stem: { conv: ConvPlan; bn: BatchNormPlan };
  blocks: readonly BlockPlan[];
  dense: { kernel: number; bias: number; kernelGradient: number; biasGradient: number };
  /** Address of the partial sums for batch norm, one per tile. */
  sums: number;
  /**
   * Address of the partial sums of a filter gradient, one per tile. Projections use projectionSums, because their
   * filter gradient is computed in the same pass as that of another convolution.
   */
  filterSums: number;
  projectionSums: number;
  threads: readonly ThreadMemory[];
  /** Bytes that must be readable after the last tensor. */
  slackBytes: number;
  end: number;
}

export function planFixed(layout: ModelLayout, threads: number): FixedPlan {
  const { height: size, channels: colors } = layout.data;
  const allocator = new Allocator(controlBytes);
  const vectors = {
    weights: allocator.takeFloats(layout.weightsSize),
    movingStatistics: allocator.takeFloats(layout.statisticsSize),
    gradient: allocator.takeFloats(layout.weightsSize),
    batchStatistics: allocator.takeFloats(layout.statisticsSize),
  };
  const tables = {
    preprocessedValues: allocator.takeFloats(colors * 256),
    pixelMeans: allocator.takeFloats(size ** 2 * 4),
    pixelDivisors: allocator.takeFloats(4),
  };
  const layers = new LayerPlanner(allocator, vectors);
  const { conv, bn } = layout.stem;
  const stem = { conv: layers.planConv(conv), bn: layers.planBatchNorm(bn) };
  const blocks = layout.blocks.map((block) => layers.planBlock(block, layout.spec.initialFilters));
  const { kernel, bias } = layout.dense;
  const dense = {
    kernel: vectors.weights + 4 * kernel.offset,
    bias: vectors.weights + 4 * bias.offset,
    kernelGradient: vectors.gradient + 4 * kernel.offset,
    biasGradient: vectors.gradient + 4 * bias.offset,
  };
  const sums = planSums(convolutionsOf({ stem, blocks }), allocator);
  const threadMemories = Array.from({ length: threads }, () => planThread(layout, allocator));
  const slackBytes = 4 * slackPixels * Math.max(...convolutionsOf({ stem, blocks }).map(maxChannelsOf));
  const plan = { layout, ...vectors, ...tables, stem, blocks, dense, ...sums, threads: threadMemories };
  return { ...plan, slackBytes, end: allocator.next };
}

/** Returns all convolutions of a model. */
export function convolutionsOf({ stem, blocks }: Pick<FixedPlan, 'stem' | 'blocks'>): ConvPlan[] {
  return [
    stem.conv,
    ...blocks.flatMap(({ conv1, conv2, projection }) => [conv1, conv2, ...(projection ? [projection] : [])]),
  ];
}

/**
 * Returns the size in bytes of a partial sum of a filter gradient. For Winograd layers it consists of 36 planes with
 * gaps between them, as in assembly/winograd.ts.
 */
export function filterSumBytes({ layer, depth, winograd }: ConvPlan): number {
  if (winograd) return 36 * (depth * depth * 4 + 64);
  return layer.kernelSize ** 2 * depth * layer.outputChannels * 4;
}

class LayerPlanner {
  readonly #allocator: Allocator;
  readonly #vectors: Vectors;

  constructor(allocator: Allocator, vectors: Vectors) {
    this.#allocator = allocator;
    this.#vectors = vectors;
  }

  planBlock(block: ResidualBlock, initialFilters: number): BlockPlan {
    return {
      block,
      group: 1 + Math.log2(block.conv1.outputChannels / initialFilters),
      conv1: this.planConv(block.conv1),
      bn1: this.planBatchNorm(block.bn1),
      conv2: this.planConv(block.conv2),
      bn2: this.planBatchNorm(block.bn2),
      projection: block.projection && this.planConv(block.projection),
    };
  }

  planConv(layer: ConvLayer): ConvPlan {
    const { inputChannels, outputChannels } = layer;
    const { weights, gradient } = this.#vectors;
    const isStem = inputChannels % 4 !== 0;
    const depth = isStem ? 4 : inputChannels;
    const winograd = isWinograd(layer);
    const planes = () => this.#allocator.takeFloats(36 * inputChannels * outputChannels);
    return {
      layer,
      depth,
      winograd: winograd ? { forward: planes(), turned: planes() } : null,
      forward: winograd ? null : this.#pack(forwardTaps(layer, depth), depth, outputChannels),
      inputGradient:
        winograd || isStem
          ? []
          : inputGradientPhases(layer).map(({ row, column, taps }) => {
              return { row, column, taps: this.#pack(taps, outputChannels, inputChannels) };
            }),
      kernel: weights + 4 * layer.kernel.offset,
      kernelGradient: gradient + 4 * layer.kernel.offset,
      bias: layer.bias ? weights + 4 * layer.bias.offset : 0,
      biasGradient: layer.bias ? gradient + 4 * layer.bias.offset : 0,
    };
  }

  planBatchNorm({ channels, gamma, beta, mean }: BatchNormLayer): BatchNormPlan {
    const { weights, gradient, movingStatistics, batchStatistics } = this.#vectors;
    return {
      channels,
      gamma: weights + 4 * gamma.offset,
      beta: weights + 4 * beta.offset,
      gammaGradient: gradient + 4 * gamma.offset,
      betaGradient: gradient + 4 * beta.offset,
      movingStatistics: movingStatistics + 4 * mean.offset,
      batchStatistics: batchStatistics + 4 * mean.offset,
      coefficients: this.#allocator.takeFloats(6 * channels),
    };
  }

  #pack(values: readonly Tap[], depth: number, outputs: number): PackedTaps {
    const tapCount = values.length;
    return {
      values,
      tapCount,
      offsets: this.#allocator.take(4 * tapCount),
      elements: this.#allocator.take(4 * tapCount),
      weights: this.#allocator.takeFloats(tapCount * depth * outputs),
    };
  }
}

/** Returns whether Winograd's algorithm computes a layer. Its tiles are 4×4 pixels. */
function isWinograd({ kernelSize, stride, inputChannels, outputChannels, inputSize }: ConvLayer): boolean {
  const hasShape = kernelSize === 3 && stride === 1 && inputChannels === outputChannels;
  return hasShape && inputSize % 4 === 0 && 4 * inputChannels <= winogradPlaneValues;
}

/**
 * Returns the width of the SAME padding before the first row and column: 1 for 3×3 filters with stride 1, or with stride
 * 2 and an odd size; 0 with stride 2 and an even size, and for 1×1 filters.
 */
function paddingBefore({ kernelSize, stride, inputSize }: ConvLayer): number {
  return kernelSize === 3 && (stride === 1 || inputSize % 2 === 1) ? 1 : 0;
}

function kernelTaps({ kernelSize, inputChannels, outputChannels }: ConvLayer) {
  return Array.from({ length: kernelSize * kernelSize }, (_, tap) => ({
    row: Math.floor(tap / kernelSize),
    column: tap % kernelSize,
    element: tap * inputChannels * outputChannels,
  }));
}

function forwardTaps(layer: ConvLayer, depth: number): Tap[] {
  const before = paddingBefore(layer);
  return kernelTaps(layer).map(({ row, column, element }) => {
    return { offset: pixelOffset(layer.inputSize, depth, row - before, column - before), element };
  });
}

/**
 * Returns the taps of the input gradient for each phase. The gradient of the input pixel at stride × p + phase is
 * Σ over taps t of weight[t] × outputGradient[p + (before + phase - t) / stride], where `before` is the padding. Only
 * taps for which the division leaves no remainder contribute.
 */
function inputGradientPhases(layer: ConvLayer): { row: number; column: number; taps: Tap[] }[] {
  const { kernelSize, stride, outputSize, outputChannels } = layer;
  const before = paddingBefore(layer);
  return Array.from({ length: kernelSize === 1 ? 1 : stride * stride }, (_, phase) => {
    const row = Math.floor(phase / stride);
    const column = phase % stride;
    const taps = kernelTaps(layer)
      .map((tap) => ({
        y: (before + row - tap.row) / stride,
        x: (before + column - tap.column) / stride,
        element: tap.element,
      }))
      .filter(({ y, x }) => Number.isInteger(y) && Number.isInteger(x))
      .map(({ y, x, element }) => ({ offset: pixelOffset(outputSize, outputChannels, y, x), element }));
    return { row, column, taps };
  });
}

function planSums(convolutions: readonly ConvPlan[], allocator: Allocator) {
  const isProjection = ({ layer }: ConvPlan) => layer.kernelSize === 1;
  const maxChannels = Math.max(...convolutions.map(maxChannelsOf));
  const maxSumBytes = (plans: readonly ConvPlan[]) => Math.max(0, ...plans.map(filterSumBytes));
  return {
    sums: allocator.takeFloats(maxTiles * 2 * maxChannels),
    filterSums: allocator.take(maxTiles * maxSumBytes(convolutions.filter((plan) => !isProjection(plan)))),
    projectionSums: allocator.take(maxTiles * maxSumBytes(convolutions.filter(isProjection))),
  };
}

function maxChannelsOf({ layer, depth }: ConvPlan): number {
  return Math.max(layer.outputChannels, depth);
}

/** Returns the height and width of the images in a layer group. @param group index of the group, 0 to 2 */
export function groupSizeOf({ data }: ModelLayout, group: number): number {
  return Math.ceil(data.height / 2 ** group);
}

function planThread(layout: ModelLayout, allocator: Allocator): ThreadMemory {
  const blocks = () =>
    [0, 1, 2].map((group) => {
      const size = groupSizeOf(layout, group);
      return allocator.tensor(imagesPerBlock(size), size, layout.spec.initialFilters << group).address;
    });
  return {
    scratch: allocator.take(scratchBytesFor(layout.data.height)),
    gradients: blocks(),
    activations: blocks(),
  };
}
