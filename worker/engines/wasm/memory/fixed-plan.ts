// Where everything lies in a model's memory: computed once, from the layout and the largest slice seen. Pure arithmetic.
import type {
  ArrayLayout,
  ConvLayer,
  ModelLayout,
  ResidualBlock,
  BatchNormLayer,
} from '../../../shared/network/layout.js';
import { classCount, imageSize } from '../../../shared/network/layout.js';
import { recordBytes } from '../../../shared/dataset/image-batch.js';
import { LockstepError } from '../../../shared/errors.js';

/** Images of a slice are cut into at most so many parts. Threads share out the parts, so more threads than this idle. */
export const maxTiles = 8;
/** A part is walked through in blocks of about so many pixels: what one stage of a block leaves, the next finds in the cache. */
const pixelsOfBlock = 1024;
/** A memory cannot be larger. */
const addressableBytes = 2 ** 32;
/** Values of a plane: `planeValues` in assembly/winograd.ts. A plane holds at least 4 tiles. */
const winogradPlaneValues = 2048;
const winogradPlaneBytes = 4 * winogradPlaneValues + 64;
/** Two sets of 36 planes, and room for a transform: 34 columns of 6 vectors. */
const scratchBytes = 2 * 36 * winogradPlaneBytes + 34 * 6 * 16;
/** The first bytes belong to the threads' control words. */
export const controlBytes = 256;

/** Images with a border of one zero pixel: see assembly/index.ts. */
export interface Tensor {
  address: number;
  /** Height and width, without the border. */
  size: number;
  channels: number;
}

/** A direct kernel's taps and packed weights. */
export interface PackedTaps {
  /** The table of byte offsets in what is read, and of elements in the layer's kernel array. */
  offsets: number;
  elements: number;
  count: number;
  weights: number;
  values: readonly { offset: number; element: number }[];
}

export interface ConvPlan {
  layer: ConvLayer;
  /** Channels of the input tensor: the layer's, or 4 for the stem's 3. */
  depth: number;
  /** Transformed filters, where Winograd computes the layer. */
  winograd: { forward: number; turned: number } | null;
  forward: PackedTaps | null;
  /** One for stride 1, one for each phase of the target with stride 2; none for the stem, which needs no input gradient. */
  inputGradient: readonly { row: number; column: number; taps: PackedTaps }[];
  kernel: number;
  kernelGradient: number;
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
  /** 1 to 3. */
  group: number;
  conv1: ConvPlan;
  bn1: BatchNormPlan;
  conv2: ConvPlan;
  bn2: BatchNormPlan;
  projection: ConvPlan | null;
}

/** What does not depend on the number of images. */
export interface FixedPlan {
  layout: ModelLayout;
  weights: number;
  movingStatistics: number;
  gradient: number;
  batchStatistics: number;
  preprocessedValues: number;
  /** For per-pixel means: 32 × 32 × 4, and the 4 that they are divided by after that. */
  pixelMeans: number;
  pixelDivisors: number;
  stem: { conv: ConvPlan; bn: BatchNormPlan };
  blocks: readonly BlockPlan[];
  dense: { kernel: number; bias: number; kernelGradient: number; biasGradient: number };
  /** Batch norm's sums, part after part. */
  sums: number;
  /** A filter gradient's sums, part after part; the second are for a projection, which runs beside a convolution. */
  filterSums: number;
  projectionSums: number;
  /** One a thread. */
  threads: readonly ThreadMemory[];
  end: number;
}

/** What a thread has for itself. */
export interface ThreadMemory {
  scratch: number;
  /** Addresses of tensors that hold a block of images, one for each group of blocks: see PassingTensor. */
  gradients: readonly number[];
  activations: readonly number[];
}

/**
 * A tensor that is written and read again within a pass, block by block: a thread keeps a block of it, in memory of its
 * own that stays in the cache.
 */
export interface PassingTensor {
  of: 'gradients' | 'activations';
  /** 0 to 2. */
  group: number;
  size: number;
  channels: number;
}

export interface BlockTensors {
  convolved1: Tensor;
  convolved2: Tensor;
  /** What the shortcut gives where the block narrows, else null. */
  shortcut: Tensor | null;
  output: Tensor;
}

/** The gradients that are alive at one time, for one group of blocks. */
export interface GradientTensors {
  /** Of a block's sum of convolution and shortcut. */
  sum: Tensor;
  /** Of what a block's first batch norm gave. */
  first: Tensor;
}

/** What is as large as the largest slice. */
export interface TensorPlan {
  capacity: number;
  records: number;
  views: number;
  pooled: number;
  logitGradients: number;
  losses: number;
  correct: number;
  begin: number;
  images: Tensor;
  stem: { convolved: Tensor; output: Tensor };
  blocks: readonly BlockTensors[];
  gradients: readonly GradientTensors[];
  end: number;
}

class Allocator {
  constructor(public next: number) {}

  take(bytes: number): number {
    const address = this.next;
    this.next = Math.ceil((address + bytes) / 64) * 64;
    return address;
  }

  tensor(images: number, size: number, channels: number): Tensor {
    return { address: this.take(images * imageBytes(size, channels)), size, channels };
  }
}

function pixelOffset(size: number, channels: number, row: number, column: number): number {
  return (row * (size + 2) + column) * channels * 4;
}

/** The address of the upper left pixel of an image at this address. */
export function firstPixel(address: number, { size, channels }: Tensor | PassingTensor): number {
  return address + pixelOffset(size, channels, 1, 1);
}

/** The address at which image 0 of a tensor would be, if it is walked by the numbers of a block's images. */
export function addressOf(tensor: Tensor | PassingTensor, firstOfBlock: number, memory: ThreadMemory): number {
  if ('address' in tensor) return tensor.address;
  const { of, group, size, channels } = tensor;
  return memory[of][group] - firstOfBlock * imageBytes(size, channels);
}

/** Images of a block of a tensor of this size. */
export function imagesOfBlock(size: number): number {
  return Math.ceil(pixelsOfBlock / size ** 2);
}

function imageBytes(size: number, channels: number): number {
  return (size + 2) ** 2 * channels * 4;
}

function isWinograd(layer: ConvLayer): boolean {
  return (
    layer.kernelSize === 3 &&
    layer.stride === 1 &&
    layer.inputChannels === layer.outputChannels &&
    4 * layer.inputChannels <= winogradPlaneValues
  );
}

/** Bytes of a part's sums: 36 planes with gaps, as in assembly/winograd.ts. */
export function winogradSumBytes(channels: number): number {
  return 36 * (channels * channels * 4 + 64);
}

export function planFixed(layout: ModelLayout, threads: number): FixedPlan {
  const allocator = new Allocator(controlBytes);
  const weights = allocator.take(4 * layout.trainableSize);
  const movingStatistics = allocator.take(4 * layout.statisticsSize);
  const gradient = allocator.take(4 * layout.trainableSize);
  const batchStatistics = allocator.take(4 * layout.statisticsSize);
  const preprocessedValues = allocator.take(3 * 256 * 4);
  const pixelMeans = allocator.take(imageSize ** 2 * 4 * 4);
  const pixelDivisors = allocator.take(4 * 4);
  let widest = 0;
  let filterSumBytes = 0;
  let projectionSumBytes = 0;

  function packed(values: { offset: number; element: number }[], depth: number, outputs: number): PackedTaps {
    const count = values.length;
    return {
      values,
      count,
      offsets: allocator.take(4 * count),
      elements: allocator.take(4 * count),
      weights: allocator.take(4 * count * depth * outputs),
    };
  }

  function planConv(layer: ConvLayer): ConvPlan {
    const { kernelSize, inputChannels, outputChannels, stride, inputSize, outputSize } = layer;
    const isStem = inputChannels % 4 !== 0;
    const depth = isStem ? 4 : inputChannels;
    // SAME padding: one before for 3×3 with stride 1, nothing before for stride 2 on an even size
    const before = kernelSize === 3 && stride === 1 ? 1 : 0;
    const taps = Array.from({ length: kernelSize * kernelSize }, (_, tap) => ({
      row: Math.floor(tap / kernelSize),
      column: tap % kernelSize,
      element: tap * inputChannels * outputChannels,
    }));
    const winograd = isWinograd(layer);
    const forward = taps.map(({ row, column, element }) => ({
      offset: pixelOffset(inputSize, depth, row - before, column - before),
      element,
    }));
    // input pixel stride × p + phase gets weight tap t from output pixel p + (before + phase - t) / stride
    const phases = Array.from({ length: kernelSize === 1 ? 1 : stride * stride }, (_, phase) => {
      const row = Math.floor(phase / stride);
      const column = phase % stride;
      const contributing = taps
        .map((tap) => ({
          y: (before + row - tap.row) / stride,
          x: (before + column - tap.column) / stride,
          element: tap.element,
        }))
        .filter(({ y, x }) => Number.isInteger(y) && Number.isInteger(x))
        .map(({ y, x, element }) => ({ offset: pixelOffset(outputSize, outputChannels, y, x), element }));
      return { row, column, contributing };
    });
    const planes = 36 * inputChannels * outputChannels * 4;
    widest = Math.max(widest, outputChannels, depth);
    const sumBytes = winograd ? winogradSumBytes(depth) : taps.length * depth * outputChannels * 4;
    if (kernelSize === 1) projectionSumBytes = Math.max(projectionSumBytes, sumBytes);
    else filterSumBytes = Math.max(filterSumBytes, sumBytes);
    return {
      layer,
      depth,
      winograd: winograd ? { forward: allocator.take(planes), turned: allocator.take(planes) } : null,
      forward: winograd ? null : packed(forward, depth, outputChannels),
      inputGradient:
        winograd || isStem
          ? []
          : phases.map(({ row, column, contributing }) => ({
              row,
              column,
              taps: packed(contributing, outputChannels, inputChannels),
            })),
      kernel: weights + 4 * layer.kernel.offset,
      kernelGradient: gradient + 4 * layer.kernel.offset,
      bias: layer.bias ? weights + 4 * layer.bias.offset : 0,
      biasGradient: layer.bias ? gradient + 4 * layer.bias.offset : 0,
    };
  }

  function planBatchNorm(layer: BatchNormLayer): BatchNormPlan {
    return {
      channels: layer.channels,
      gamma: weights + 4 * layer.gamma.offset,
      beta: weights + 4 * layer.beta.offset,
      gammaGradient: gradient + 4 * layer.gamma.offset,
      betaGradient: gradient + 4 * layer.beta.offset,
      movingStatistics: movingStatistics + 4 * layer.mean.offset,
      batchStatistics: batchStatistics + 4 * layer.mean.offset,
      coefficients: allocator.take(6 * 4 * layer.channels),
    };
  }

  const stem = { conv: planConv(layout.stem.conv), bn: planBatchNorm(layout.stem.bn) };
  const blocks = layout.blocks.map((block) => ({
    block,
    group: 1 + Math.log2(imageSize / block.conv1.outputSize),
    conv1: planConv(block.conv1),
    bn1: planBatchNorm(block.bn1),
    conv2: planConv(block.conv2),
    bn2: planBatchNorm(block.bn2),
    projection: block.projection && planConv(block.projection),
  }));
  const at = (base: number, array: ArrayLayout) => base + 4 * array.offset;
  const blockTensors = () =>
    [0, 1, 2].map((group) => {
      const size = imageSize >> group;
      return allocator.tensor(imagesOfBlock(size), size, layout.spec.initialFilters << group).address;
    });
  const { kernel, bias } = layout.dense;
  return {
    layout,
    weights,
    movingStatistics,
    gradient,
    batchStatistics,
    preprocessedValues,
    pixelMeans,
    pixelDivisors,
    stem,
    blocks,
    dense: {
      kernel: at(weights, kernel),
      bias: at(weights, bias),
      kernelGradient: at(gradient, kernel),
      biasGradient: at(gradient, bias),
    },
    sums: allocator.take(maxTiles * 2 * 4 * widest),
    filterSums: allocator.take(maxTiles * filterSumBytes),
    projectionSums: allocator.take(maxTiles * projectionSumBytes),
    threads: Array.from({ length: threads }, () => ({
      scratch: allocator.take(scratchBytes),
      gradients: blockTensors(),
      activations: blockTensors(),
    })),
    end: allocator.next,
  };
}

/** Throws `bad-config` where so many images do not fit into a memory of 4 GiB. */
export function planTensors(fixed: FixedPlan, capacity: number): TensorPlan {
  const { layout } = fixed;
  const allocator = new Allocator(fixed.end);
  const widest = layout.dense.kernel.shape[0];
  const tensor = (size: number, channels: number) => allocator.tensor(capacity, size, channels);
  const plan = {
    capacity,
    records: allocator.take(capacity * recordBytes),
    views: allocator.take(2 * capacity),
    pooled: allocator.take(4 * capacity * widest),
    logitGradients: allocator.take(4 * capacity * classCount),
    losses: allocator.take(8 * capacity),
    correct: allocator.take(4 * capacity),
    begin: allocator.next,
    images: tensor(imageSize, 4),
    stem: {
      convolved: tensor(imageSize, layout.spec.initialFilters),
      output: tensor(imageSize, layout.spec.initialFilters),
    },
    blocks: layout.blocks.map(({ conv1 }) => {
      const blockTensor = () => tensor(conv1.outputSize, conv1.outputChannels);
      return {
        convolved1: blockTensor(),
        convolved2: blockTensor(),
        shortcut: conv1.stride === 1 ? null : blockTensor(),
        output: blockTensor(),
      };
    }),
    gradients: [0, 1, 2].map((group) => {
      const groupTensor = () => tensor(imageSize >> group, layout.spec.initialFilters << group);
      return { sum: groupTensor(), first: groupTensor() };
    }),
  };
  if (allocator.next > addressableBytes) {
    const gibibytes = (allocator.next / 2 ** 30).toFixed(1);
    throw new LockstepError(
      'bad-config',
      `a slice of ${capacity} images of this model needs ${gibibytes} GiB, and the wasm engine has 4: use more slices`,
    );
  }
  return { ...plan, end: allocator.next };
}
