// How a convolution is computed, and the memory for its packed weights. Pure.
import type { Conv2dLayer } from '../../../../shared/network/layers.js';
import { gradientBorder, forwardBorder, forwardTaps, inputGradientTaps, type Tap } from './convolution-taps.js';
import { depthOf, formOf, type Allocator, type Form } from './tensor.js';

/** Number of values in a plane: `planeValues` in assembly/winograd.ts. A plane holds at least 4 Winograd tiles. */
const winogradPlaneValues = 2048;

/** Taps and packed weights for a direct kernel. */
export interface PackedTaps {
  /** Byte offset in the source tensor, and index of the first weight in the kernel array. */
  values: readonly { offset: number; element: number }[];
  tapCount: number;
  /** Address of the table of the taps' byte offsets in the source tensor. */
  offsets: number;
  /** Address of the table with the index of each tap's first weight in the kernel array. */
  elements: number;
  /** Address of the packed weights. Those of each group follow those of the group before. */
  weights: number;
}

/** Taps of the input gradient for the input pixels whose row and column have these remainders modulo the strides. */
export interface GradientPhase {
  row: number;
  column: number;
  taps: PackedTaps;
}

/** Numbers of channels that the kernels see. */
interface Channels {
  /** Number of groups that a direct kernel computes separately. */
  groups: number;
  /** Input and output channels of a group, multiples of 4. */
  groupInputs: number;
  groupOutputs: number;
}

export interface ConvolutionPlan extends Channels {
  layer: Conv2dLayer;
  /**
   * - `winograd`: Winograd's algorithm
   * - `direct`: tap by tap
   * - `expanded`: tap by tap, with a copy of the kernel that has zeros for missing channels and between groups
   * - `depthwise`: tap by tap, channel by channel
   */
  method: 'winograd' | 'direct' | 'expanded' | 'depthwise';
  /** Numbers of channels of the tensors. */
  inputDepth: number;
  outputDepth: number;
  /** Form of the tensor that the forward taps read: the input, or a copy of it with a wider border. */
  source: Form;
  /** Taps of the forward pass; without Winograd's algorithm. */
  forward: PackedTaps | null;
  /** Addresses of the transformed filters; for Winograd's algorithm. */
  filters: { forward: number; turned: number } | null;
  /** Whether images consist of whole Winograd tiles, so that kernels can compute sums for batch norms. */
  hasWholeTiles: boolean;
  /** Form of the tensor that the taps of the input gradient read: the output's gradient, or a copy of it. */
  gradientSource: Form;
  /** Taps of the input gradient; without Winograd's algorithm. */
  inputGradient: readonly GradientPhase[];
  /** Address of the expanded kernel; 0 for other methods. */
  expandedKernel: number;
  /** Address of the kernel's gradient in the order of the packed weights; 0 if it is stored in its place at once. */
  stagedGradient: number;
  /** Address of the bias with zeros for missing channels; 0 if the layer has no bias or no channels are missing. */
  paddedBias: number;
}

/** @param needsInputGradient whether to plan the input gradient */
export function planConvolution(
  layer: Conv2dLayer,
  needsInputGradient: boolean,
  allocator: Allocator,
): ConvolutionPlan {
  const inputDepth = depthOf(layer.inputShapes[0][2]);
  const outputDepth = depthOf(layer.filters);
  const method = methodOf(layer, needsInputGradient);
  const groups = method === 'direct' ? layer.groups : 1;
  const channels = { groups, groupInputs: inputDepth / groups, groupOutputs: outputDepth / groups };
  const [height, width] = layer.shape;
  const hasWholeTiles = height % 4 === 0 && width % 4 === 0;
  const plan = { layer, method, ...channels, inputDepth, outputDepth, hasWholeTiles };
  const paddedBias = layer.bias !== null && layer.filters < outputDepth ? allocator.takeFloats(outputDepth) : 0;
  if (method === 'winograd') {
    const planes = () => allocator.takeFloats(36 * inputDepth * outputDepth);
    return {
      ...plan,
      source: formOf(layer.inputShapes[0]),
      forward: null,
      filters: { forward: planes(), turned: planes() },
      gradientSource: formOf(layer.shape),
      inputGradient: [],
      expandedKernel: 0,
      stagedGradient: 0,
      paddedBias,
    };
  }
  const tapSize = weightsPerTap(plan);
  /** Number of elements of the kernel array for a tap, from which the weights are packed. */
  const kernelTapSize =
    method === 'expanded' ? tapSize : layer.kernel.size / (layer.kernelSize[0] * layer.kernelSize[1]);
  const pack = (values: readonly Tap[]): PackedTaps => ({
    values: values.map(({ offset, tap }) => ({ offset, element: tap * kernelTapSize })),
    tapCount: values.length,
    offsets: allocator.take(4 * values.length),
    elements: allocator.take(4 * values.length),
    weights: allocator.takeFloats(values.length * tapSize),
  });
  const source = formOf(layer.inputShapes[0], Math.max(1, forwardBorder(layer)));
  const gradientSource = formOf(layer.shape, Math.max(1, gradientBorder(layer)));
  const forward = pack(forwardTaps(layer, source));
  const isStaged = method === 'expanded' || groups > 1;
  return {
    ...plan,
    source,
    forward,
    filters: null,
    gradientSource,
    inputGradient: needsInputGradient
      ? inputGradientTaps(layer, gradientSource).map(({ row, column, taps }) => ({ row, column, taps: pack(taps) }))
      : [],
    expandedKernel: method === 'expanded' ? allocator.takeFloats(forward.tapCount * tapSize) : 0,
    stagedGradient: isStaged ? allocator.takeFloats(forward.tapCount * tapSize) : 0,
    paddedBias,
  };
}

/** Returns the number of packed weights of a tap. */
function weightsPerTap({
  method,
  groups,
  groupInputs,
  groupOutputs,
}: Pick<ConvolutionPlan, 'method' | keyof Channels>): number {
  return method === 'depthwise' ? groupOutputs : groups * groupInputs * groupOutputs;
}

/** Returns the number of taps and of groups of the layer, and the numbers of inputs and outputs of a group. */
export function groupsOf({ layer }: Pick<ConvolutionPlan, 'layer'>) {
  const { kernelSize, groups, inputShapes, filters } = layer;
  return [kernelSize[0] * kernelSize[1], groups, inputShapes[0][2] / groups, filters / groups] as const;
}

/**
 * Returns the size in bytes of a partial sum of a filter gradient. For Winograd layers it consists of 36 planes with
 * gaps between them, as in assembly/winograd.ts.
 */
export function filterSumBytes(plan: ConvolutionPlan): number {
  if (plan.method === 'winograd') return 36 * (plan.inputDepth * plan.outputDepth * 4 + 64);
  return plan.forward!.tapCount * weightsPerTap(plan) * 4;
}

function methodOf(layer: Conv2dLayer, needsInputGradient: boolean): ConvolutionPlan['method'] {
  const { groups, filters, inputShapes } = layer;
  const inputs = inputShapes[0][2];
  if (isWinograd(layer)) return 'winograd';
  if (groups > 1 && groups === inputs && groups === filters) return 'depthwise';
  if (groups > 1) return (inputs / groups) % 4 === 0 && (filters / groups) % 4 === 0 ? 'direct' : 'expanded';
  return filters % 4 === 0 && (inputs % 4 === 0 || !needsInputGradient) ? 'direct' : 'expanded';
}

/**
 * Maximum ratio of the pixels of all tiles to the pixels of an image. With more pixels outside of the image, Winograd's
 * algorithm is no faster than direct kernels.
 */
const maxTilePixels = 1.2;

/** Returns whether Winograd's algorithm computes a layer. Its tiles are 4×4 pixels. */
function isWinograd({ kernelSize, strides, padding, groups, inputShapes, filters }: Conv2dLayer): boolean {
  const [height, width, inputs] = inputShapes[0];
  const is3x3 = kernelSize[0] === 3 && kernelSize[1] === 3 && strides[0] === 1 && strides[1] === 1;
  const isSame = padding.top === 1 && padding.bottom === 1 && padding.left === 1 && padding.right === 1;
  const tilePixels = 16 * Math.ceil(height / 4) * Math.ceil(width / 4);
  const fits = inputs % 4 === 0 && filters % 4 === 0 && 4 * Math.max(inputs, filters) <= winogradPlaneValues;
  return is3x3 && isSame && groups === 1 && fits && tilePixels <= maxTilePixels * height * width;
}
