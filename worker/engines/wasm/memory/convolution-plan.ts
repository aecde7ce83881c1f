// How a convolution is computed: with Winograd's algorithm or tap by tap, and the memory for its packed weights.
import type { Conv2dLayer } from '../../../../shared/network/layers.js';
import { depthOf, formOf, pixelOffset, type Allocator, type Form } from './tensor.js';

/** Number of values in a plane: `planeValues` in assembly/winograd.ts. A plane holds at least 4 Winograd tiles. */
const winogradPlaneValues = 2048;

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

/** Taps of the input gradient for the input pixels whose row and column have these remainders modulo the strides. */
export interface GradientPhase {
  row: number;
  column: number;
  taps: PackedTaps;
}

export interface ConvolutionPlan {
  layer: Conv2dLayer;
  /** Numbers of input and output channels, without and with the additional channels of the tensors. */
  inputs: number;
  inputDepth: number;
  outputs: number;
  outputDepth: number;
  /** Addresses of the transformed filters; null for a layer that is computed directly. */
  winograd: { forward: number; turned: number } | null;
  /** Form of the tensor that the forward taps read: the input, or a copy of it with a wider border. */
  source: Form;
  /** Forward taps; null for a layer that is computed with Winograd's algorithm. */
  forward: PackedTaps | null;
  /** Form of the tensor that the taps of the input gradient read: the output's gradient, or a copy of it. */
  gradientSource: Form;
  /** Taps for the input gradient of a layer that is computed directly. Empty for Winograd layers. */
  inputGradient: readonly GradientPhase[];
}

/** @param needsInputGradient whether to plan the input gradient */
export function planConvolution(layer: Conv2dLayer, needsInputGradient: boolean, allocator: Allocator): ConvolutionPlan {
  const inputs = layer.inputShapes[0][2];
  const outputs = layer.filters;
  const channels = { inputs, inputDepth: depthOf(inputs), outputs, outputDepth: depthOf(outputs) };
  const { inputDepth, outputDepth } = channels;
  if (isWinograd(layer)) {
    const planes = () => allocator.takeFloats(36 * inputDepth * outputDepth);
    return {
      layer,
      ...channels,
      winograd: { forward: planes(), turned: planes() },
      source: formOf(layer.inputShapes[0]),
      forward: null,
      gradientSource: formOf(layer.shape),
      inputGradient: [],
    };
  }
  const pack = (values: readonly Tap[], depth: number, outputs: number): PackedTaps => ({
    values,
    tapCount: values.length,
    offsets: allocator.take(4 * values.length),
    elements: allocator.take(4 * values.length),
    weights: allocator.takeFloats(values.length * depth * outputs),
  });
  const source = formOf(layer.inputShapes[0], Math.max(1, forwardBorder(layer)));
  const gradientSource = formOf(layer.shape, Math.max(1, gradientBorder(layer)));
  return {
    layer,
    ...channels,
    winograd: null,
    source,
    forward: pack(forwardTaps(layer, source), inputDepth, outputDepth),
    gradientSource,
    inputGradient: needsInputGradient
      ? inputGradientPhases(layer, gradientSource).map(({ row, column, taps }) => {
          return { row, column, taps: pack(taps, outputDepth, inputDepth) };
        })
      : [],
  };
}

/**
 * Returns the size in bytes of a partial sum of a filter gradient. For Winograd layers it consists of 36 planes with
 * gaps between them, as in assembly/winograd.ts.
 */
export function filterSumBytes({ inputDepth, outputDepth, winograd, forward }: ConvolutionPlan): number {
  if (winograd) return 36 * (inputDepth * outputDepth * 4 + 64);
  return forward!.tapCount * inputDepth * outputDepth * 4;
}

/** Returns whether Winograd's algorithm computes a layer. Its tiles are 4×4 pixels. */
function isWinograd({ kernelSize, strides, padding, groups, inputShapes, filters }: Conv2dLayer): boolean {
  const [height, width, inputs] = inputShapes[0];
  const is3x3 = kernelSize[0] === 3 && kernelSize[1] === 3 && strides[0] === 1 && strides[1] === 1;
  const isSame = padding.top === 1 && padding.bottom === 1 && padding.left === 1 && padding.right === 1;
  const hasTiles = height === width && height % 4 === 0;
  const fits = inputs === filters && inputs % 4 === 0 && 4 * inputs <= winogradPlaneValues;
  return is3x3 && isSame && groups === 1 && hasTiles && fits;
}

function kernelTaps({ kernelSize: [height, width], inputShapes, groups, filters }: Conv2dLayer) {
  return Array.from({ length: height * width }, (_, tap) => ({
    row: Math.floor(tap / width),
    column: tap % width,
    element: tap * (inputShapes[0][2] / groups) * filters,
  }));
}

function forwardTaps(layer: Conv2dLayer, source: Form): Tap[] {
  const { padding } = layer;
  return kernelTaps(layer).map(({ row, column, element }) => {
    return { offset: pixelOffset(source, row - padding.top, column - padding.left), element };
  });
}

/** Returns the number of rows and columns outside the input that a convolution reads, on its widest side. */
function forwardBorder({ padding, strides, kernelSize, shape, inputShapes: [input] }: Conv2dLayer): number {
  const after = [0, 1].map((axis) => {
    const before = axis === 0 ? padding.top : padding.left;
    return (shape[axis] - 1) * strides[axis] + kernelSize[axis] - before - input[axis];
  });
  return Math.max(padding.top, padding.left, ...after);
}

/** Returns the number of rows and columns outside the output that the input gradient reads, on its widest side. */
function gradientBorder(layer: Conv2dLayer): number {
  const { strides, shape, inputShapes } = layer;
  const outside = gradientTaps(layer).flatMap(({ row, column, taps }) =>
    taps.flatMap(({ y, x }) =>
      [
        { from: y, start: row, axis: 0 },
        { from: x, start: column, axis: 1 },
      ].map(({ from, start, axis }) => {
        const lastPixel = Math.ceil((inputShapes[0][axis] - start) / strides[axis]) - 1;
        return Math.max(-from, lastPixel + from - (shape[axis] - 1));
      }),
    ),
  );
  return Math.max(0, ...outside);
}

/**
 * Returns the taps of the input gradient for each phase. The gradient of the input pixel at stride × p + phase is
 * Σ over taps t of weight[t] × outputGradient[p + (before + phase - t) / stride], where `before` is the padding. Only
 * taps for which the division leaves no remainder contribute.
 */
function gradientTaps(layer: Conv2dLayer) {
  const { strides, padding } = layer;
  return Array.from({ length: strides[0] * strides[1] }, (_, phase) => {
    const row = Math.floor(phase / strides[1]);
    const column = phase % strides[1];
    const taps = kernelTaps(layer)
      .map((tap) => ({
        y: (padding.top + row - tap.row) / strides[0],
        x: (padding.left + column - tap.column) / strides[1],
        element: tap.element,
      }))
      .filter(({ y, x }) => Number.isInteger(y) && Number.isInteger(x));
    return { row, column, taps };
  });
}

function inputGradientPhases(layer: Conv2dLayer, gradientSource: Form) {
  return gradientTaps(layer).map(({ row, column, taps }) => ({
    row,
    column,
    taps: taps.map(({ y, x, element }) => ({ offset: pixelOffset(gradientSource, y, x), element })),
  }));
}
