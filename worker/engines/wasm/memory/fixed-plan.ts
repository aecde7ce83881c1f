// Memory plan for data that does not depend on the number of images: weights, gradients, tables and coefficients. Pure.
import type { BatchNormLayer, DenseLayer, Layer, ScaleLayer, WeightArray } from '../../../../shared/network/layers.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import { planConvolution, type ConvolutionPlan } from './convolution-plan.js';
import { depthOf, type Allocator } from './tensor.js';

/** Addresses of an array of weights and of its gradient; 0 for what does not exist. */
export interface ParameterPlan {
  value: number;
  gradient: number;
}

export interface BatchNormPlan {
  channels: number;
  /** Number of channels in memory. */
  depth: number;
  gamma: ParameterPlan;
  beta: ParameterPlan;
  movingStatistics: number;
  batchStatistics: number;
  coefficients: number;
}

export interface DensePlan {
  layer: DenseLayer;
  /** Address of the transposed kernel, for the input gradient. */
  transposed: number;
}

/** Addresses of the constants of a scale layer, one per channel of the tensor. */
export interface ScalePlan {
  layer: ScaleLayer;
  factors: number;
  offsets: number;
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
  convolutions: ReadonlyMap<Layer, ConvolutionPlan>;
  batchNorms: ReadonlyMap<Layer, BatchNormPlan>;
  dense: ReadonlyMap<Layer, DensePlan>;
  scales: ReadonlyMap<Layer, ScalePlan>;
}

/** @param needsGradient returns whether the gradient with respect to a layer's output is needed, by index */
export function planFixed(
  layout: ModelLayout,
  allocator: Allocator,
  needsGradient: (layer: number) => boolean,
): FixedPlan {
  const { height, width, channels: colors } = layout.data;
  const vectors = {
    weights: allocator.takeFloats(layout.weightsSize),
    movingStatistics: allocator.takeFloats(layout.statisticsSize),
    gradient: allocator.takeFloats(layout.weightsSize),
    batchStatistics: allocator.takeFloats(layout.statisticsSize),
  };
  const tables = {
    preprocessedValues: allocator.takeFloats(colors * 256),
    pixelMeans: allocator.takeFloats(height * width * 4),
    pixelDivisors: allocator.takeFloats(4),
  };
  const convolutions = new Map<Layer, ConvolutionPlan>();
  const batchNorms = new Map<Layer, BatchNormPlan>();
  const dense = new Map<Layer, DensePlan>();
  const scales = new Map<Layer, ScalePlan>();
  const plan = { layout, ...vectors, ...tables, convolutions, batchNorms, dense, scales };
  for (const layer of layout.layers) {
    if (layer.op === 'conv2d') {
      convolutions.set(layer, planConvolution(layer, needsGradient(layer.inputs[0]), allocator));
    } else if (layer.op === 'batchNorm') {
      batchNorms.set(layer, planBatchNorm(plan, layer, allocator));
    } else if (layer.op === 'dense') {
      const [inputs] = layer.inputShapes[0];
      dense.set(layer, { layer, transposed: allocator.takeFloats(layer.units * depthOf(inputs)) });
    } else if (layer.op === 'scale') {
      const depth = depthOf(layer.shape.at(-1)!);
      scales.set(layer, { layer, factors: allocator.takeFloats(depth), offsets: allocator.takeFloats(depth) });
    }
  }
  return plan;
}

function planBatchNorm(plan: FixedPlan, layer: BatchNormLayer, allocator: Allocator): BatchNormPlan {
  const { gamma, beta, mean } = layer;
  const depth = depthOf(mean.size);
  return {
    channels: mean.size,
    depth,
    gamma: parameterOf(plan, gamma),
    beta: parameterOf(plan, beta),
    movingStatistics: plan.movingStatistics + 4 * mean.offset,
    batchStatistics: plan.batchStatistics + 4 * mean.offset,
    coefficients: allocator.takeFloats(6 * depth),
  };
}

/** Returns the addresses of an array. An array that does not exist, or a gradient that is not wanted, has the address 0. */
export function parameterOf({ weights, gradient }: FixedPlan, array: WeightArray | null): ParameterPlan {
  if (array === null) return { value: 0, gradient: 0 };
  const { offset, trainable } = array;
  return { value: weights + 4 * offset, gradient: trainable ? gradient + 4 * offset : 0 };
}
