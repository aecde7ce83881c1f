// Names, shapes and offsets of the ResNet's arrays in the flat float32 vectors used by engines, checkpoints and the
// protocol. Pure.
import { LockstepError } from '../errors.js';

export const imageSize = 32;
export const imageChannels = 3;
export const classCount = 10;

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
   * padding at the bottom and one column at the right.
   */
  stride: number;
  /** Height and width of the input; `outputSize` is that of the output. */
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

/** Lays out a ResNet. Throws `bad-config` if the depth is not 6n+2 or the filters are not a positive multiple of 4. */
export function layoutModel(spec: ModelSpec): ModelLayout {
  const blocksPerGroup = (spec.depth - 2) / 6;
  if (!Number.isInteger(blocksPerGroup) || blocksPerGroup < 1) {
    throw new LockstepError('bad-config', `depth is ${spec.depth}: it must be 6n+2, for example 20, 32, 44, 56 or 110`);
  }
  if (!Number.isInteger(spec.initialFilters) || spec.initialFilters < 4 || spec.initialFilters % 4 !== 0) {
    throw new LockstepError(
      'bad-config',
      `initialFilters is ${spec.initialFilters}: it must be a positive multiple of 4, because the identity shortcut pads a quarter of the channels on each side`,
    );
  }
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
      outputSize: shape.size / shape.stride,
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
    conv: conv('stem/conv', { kernelSize: 3, in: imageChannels, out: spec.initialFilters, stride: 1, size: imageSize }),
    bn: batchNorm('stem/bn', spec.initialFilters),
  };
  const blocks: ResidualBlock[] = [];
  let channels = spec.initialFilters;
  let size = imageSize;
  for (let group = 0; group < 3; group++) {
    for (let index = 0; index < blocksPerGroup; index++) {
      const narrows = group > 0 && index === 0;
      const stride = narrows ? 2 : 1;
      const out = narrows ? channels * 2 : channels;
      const name = `group${group + 1}/block${index + 1}`;
      const conv1 = conv(`${name}/conv1`, { kernelSize: 3, in: channels, out, stride, size });
      const bn1 = batchNorm(`${name}/bn1`, out);
      const conv2 = conv(`${name}/conv2`, { kernelSize: 3, in: out, out, stride: 1, size: size / stride });
      const bn2 = batchNorm(`${name}/bn2`, out);
      const projection =
        narrows && spec.shortcut === 'projection'
          ? conv(`${name}/projection`, { kernelSize: 1, in: channels, out, stride, size })
          : null;
      blocks.push({ name, conv1, bn1, conv2, bn2, projection });
      channels = out;
      size /= stride;
    }
  }
  const dense = {
    kernel: trainable.add('dense/kernel', channels, classCount),
    bias: trainable.add('dense/bias', classCount),
  };
  return {
    spec,
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
