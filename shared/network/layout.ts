// Names, shapes and offsets of the ResNet's arrays in the flat float32 vectors used by engines, checkpoints and the
// protocol. Pure.
import { LockstepError } from '../errors.js';

/** What a network needs to know about the images that it classifies. */
export interface DataShape {
  /** Height and width of an image in pixels. */
  height: number;
  width: number;
  /** Number of color channels: 1 for gray, or 3 for red, green and blue. */
  channels: 1 | 3;
  classCount: number;
}

/** Minimum height and width of an image: the last of the three groups then still has 2×2 pixels. */
const minImageSize = 8;

export type Shortcut = 'identity' | 'projection';

/** Parameters that determine the model's arrays and its forward pass. */
export interface ModelSpec {
  /** Number of weighted layers, 6n+2: 20, 32, 44, 56, 110, … */
  depth: number;
  /**
   * Number of channels in the stem and the first group. The second and third groups have two and four times as many.
   */
  initialFilters: number;
  /** Shortcut in downsampling blocks (He et al. 2016, options A and B). */
  shortcut: Shortcut;
  /**
   * Whether to add biases to convolutions, as Keras does by default. Batch norm cancels their effect, except in
   * projections, which have no batch norm.
   */
  convBias: boolean;
  /** Epsilon of batch norm: added to the variance before the square root is taken. */
  bnEpsilon: number;
}

/** A named array in a flat vector of float32 values. */
export interface ArrayLayout {
  /** Name of the array, for example `group2/block1/conv1/kernel`. */
  name: string;
  /**
   * Shape: [height, width, in, out] for convolution kernels, [in, out] for the dense kernel, and one dimension for all
   * others.
   */
  shape: readonly number[];
  /** Index of the array's first element in the vector. */
  offset: number;
  /** Number of elements. */
  size: number;
}

export interface ConvLayer {
  kernel: ArrayLayout;
  bias: ArrayLayout | null;
  /** Height and width of the kernel: 3, or 1 for a projection. */
  kernelSize: number;
  inputChannels: number;
  outputChannels: number;
  /**
   * Stride: 1 or 2. Padding is TensorFlow's SAME: a 3×3 kernel with stride 2 and an even input size gets one row of
   * padding at the bottom and one column at the right; with an odd size, it gets one on each side.
   */
  stride: number;
  /** Height and width of the input; `outputSize` is that of the output: with stride 2 half as many, rounded up. */
  inputSize: number;
  outputSize: number;
}

export interface BatchNormLayer {
  gamma: ArrayLayout;
  beta: ArrayLayout;
  /** Mean, in the statistics vector. */
  mean: ArrayLayout;
  /** Biased variance, in the statistics vector: divided by the count, not by the count minus one. */
  variance: ArrayLayout;
  channels: number;
}

export interface ResidualBlock {
  name: string;
  conv1: ConvLayer;
  bn1: BatchNormLayer;
  conv2: ConvLayer;
  bn2: BatchNormLayer;
  /** 1×1 convolution with stride 2 and no batch norm; null if the shortcut has no weights. */
  projection: ConvLayer | null;
}

/**
 * The model's arrays in two flat vectors. The first holds the trainable weights, or their gradients. The second holds
 * moving statistics or batch statistics: for each batch norm, the mean, then the variance.
 */
export interface ModelLayout {
  spec: ModelSpec;
  /** The images that the network takes. */
  data: DataShape;
  stem: { conv: ConvLayer; bn: BatchNormLayer };
  blocks: readonly ResidualBlock[];
  dense: { kernel: ArrayLayout; bias: ArrayLayout };
  trainable: readonly ArrayLayout[];
  /** Number of elements in the trainable vector. */
  trainableSize: number;
  statistics: readonly ArrayLayout[];
  /** Number of elements in the statistics vector. */
  statisticsSize: number;
}

/** Lays out arrays one after the other in a flat vector. */
class VectorBuilder {
  readonly arrays: ArrayLayout[] = [];
  size = 0;

  add(name: string, ...shape: number[]): ArrayLayout {
    const size = shape.reduce((product, extent) => product * extent, 1);
    const array = { name, shape, offset: this.size, size };
    this.arrays.push(array);
    this.size += size;
    return array;
  }
}

/** Throws `bad-config` if the depth is not 6n+2 or the filters are not a positive multiple of 4. */
export function assertModelSpec({ depth, initialFilters }: ModelSpec): void {
  const blocksPerGroup = (depth - 2) / 6;
  if (!Number.isInteger(blocksPerGroup) || blocksPerGroup < 1) {
    throw new LockstepError('bad-config', `depth is ${depth}: it must be 6n+2, for example 20, 32, 44, 56 or 110`);
  }
  if (!Number.isInteger(initialFilters) || initialFilters < 4 || initialFilters % 4 !== 0) {
    throw new LockstepError(
      'bad-config',
      `initialFilters is ${initialFilters}: it must be a positive multiple of 4, because the identity shortcut pads a quarter of the channels on each side`,
    );
  }
}

/** Throws `bad-data` if the images are not square or too small. */
function assertDataShape({ height, width }: DataShape): void {
  if (height === width && height >= minImageSize) return;
  throw new LockstepError(
    'bad-data',
    `the images have ${width}×${height} pixels: a ResNet needs square images of at least ${minImageSize}×${minImageSize} ` +
      'pixels, so import them again with another size',
  );
}

/** Lays out a ResNet for images of this shape. Throws the errors of assertModelSpec, and `bad-data` for the images. */
export function layoutModel(spec: ModelSpec, { height, width, channels, classCount }: DataShape): ModelLayout {
  const data: DataShape = { height, width, channels, classCount };
  assertModelSpec(spec);
  assertDataShape(data);
  const blocksPerGroup = (spec.depth - 2) / 6;
  const trainable = new VectorBuilder();
  const statistics = new VectorBuilder();

  function conv(name: string, shape: { kernelSize: number; in: number; out: number; stride: number; size: number }) {
    return {
      kernel: trainable.add(`${name}/kernel`, shape.kernelSize, shape.kernelSize, shape.in, shape.out),
      bias: spec.convBias ? trainable.add(`${name}/bias`, shape.out) : null,
      kernelSize: shape.kernelSize,
      inputChannels: shape.in,
      outputChannels: shape.out,
      stride: shape.stride,
      inputSize: shape.size,
      outputSize: Math.ceil(shape.size / shape.stride),
    };
  }
  function batchNorm(name: string, channels: number): BatchNormLayer {
    return {
      gamma: trainable.add(`${name}/gamma`, channels),
      beta: trainable.add(`${name}/beta`, channels),
      mean: statistics.add(`${name}/moving_mean`, channels),
      variance: statistics.add(`${name}/moving_variance`, channels),
      channels,
    };
  }

  const stem = {
    conv: conv('stem/conv', { kernelSize: 3, in: channels, out: spec.initialFilters, stride: 1, size: height }),
    bn: batchNorm('stem/bn', spec.initialFilters),
  };
  const blocks: ResidualBlock[] = [];
  let filters = spec.initialFilters;
  let size = height;
  for (let group = 0; group < 3; group++) {
    for (let index = 0; index < blocksPerGroup; index++) {
      const narrows = group > 0 && index === 0;
      const stride = narrows ? 2 : 1;
      const out = narrows ? filters * 2 : filters;
      const name = `group${group + 1}/block${index + 1}`;
      const conv1 = conv(`${name}/conv1`, { kernelSize: 3, in: filters, out, stride, size });
      const bn1 = batchNorm(`${name}/bn1`, out);
      const conv2 = conv(`${name}/conv2`, { kernelSize: 3, in: out, out, stride: 1, size: Math.ceil(size / stride) });
      const bn2 = batchNorm(`${name}/bn2`, out);
      const projection =
        narrows && spec.shortcut === 'projection'
          ? conv(`${name}/projection`, { kernelSize: 1, in: filters, out, stride, size })
          : null;
      blocks.push({ name, conv1, bn1, conv2, bn2, projection });
      filters = out;
      size = Math.ceil(size / stride);
    }
  }
  const dense = {
    kernel: trainable.add('dense/kernel', filters, classCount),
    bias: trainable.add('dense/bias', classCount),
  };
  return {
    spec,
    data,
    stem,
    blocks,
    dense,
    trainable: trainable.arrays,
    trainableSize: trainable.size,
    statistics: statistics.arrays,
    statisticsSize: statistics.size,
  };
}

/** Returns a view of an array's elements in a flat vector. */
export function arrayOf(vector: Float32Array, array: ArrayLayout): Float32Array {
  return vector.subarray(array.offset, array.offset + array.size);
}
