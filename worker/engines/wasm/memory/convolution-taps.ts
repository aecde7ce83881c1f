// The taps of a convolution: which pixels of a tensor it multiplies by which part of the kernel. Pure.
import type { Conv2dLayer } from '../../../../shared/network/layers.js';
import { pixelOffset, type Form } from './tensor.js';

export interface Tap {
  /** Byte offset of the pixel that is read, from the current pixel. */
  offset: number;
  /** Position in the kernel, row by row. */
  tap: number;
}

function kernelTaps({ kernelSize: [height, width] }: Conv2dLayer) {
  return Array.from({ length: height * width }, (_, tap) => {
    return { row: Math.floor(tap / width), column: tap % width, tap };
  });
}

/** @param source form of the tensor that is read */
export function forwardTaps(layer: Conv2dLayer, source: Form): Tap[] {
  const { padding } = layer;
  return kernelTaps(layer).map(({ row, column, tap }) => {
    return { offset: pixelOffset(source, row - padding.top, column - padding.left), tap };
  });
}

/** Returns the number of rows and columns outside the input that a convolution reads, on its widest side. */
export function forwardBorder({ padding, strides, kernelSize, shape, inputShapes: [input] }: Conv2dLayer): number {
  const after = [0, 1].map((axis) => {
    const before = axis === 0 ? padding.top : padding.left;
    return (shape[axis] - 1) * strides[axis] + kernelSize[axis] - before - input[axis];
  });
  return Math.max(padding.top, padding.left, ...after);
}

/**
 * Returns the taps of the input gradient for each phase. The gradient of the input pixel at stride × p + phase is
 * Σ over taps t of weight[t] × outputGradient[p + (before + phase - t) / stride], where `before` is the padding. Only
 * taps for which the division leaves no remainder contribute.
 * @param gradient form of the tensor that is read
 */
export function inputGradientTaps(layer: Conv2dLayer, gradient: Form) {
  return phasesOf(layer).map(({ row, column, taps }) => ({
    row,
    column,
    taps: taps.map(({ y, x, tap }): Tap => ({ offset: pixelOffset(gradient, y, x), tap })),
  }));
}

/** Returns the number of rows and columns outside the output that the input gradient reads, on its widest side. */
export function gradientBorder(layer: Conv2dLayer): number {
  const { strides, shape, inputShapes } = layer;
  const outside = (from: number, start: number, axis: 0 | 1) => {
    const lastPixel = Math.ceil((inputShapes[0][axis] - start) / strides[axis]) - 1;
    return Math.max(-from, lastPixel + from - (shape[axis] - 1));
  };
  const all = phasesOf(layer).flatMap(({ row, column, taps }) =>
    taps.map(({ y, x }) => Math.max(outside(y, row, 0), outside(x, column, 1))),
  );
  return Math.max(0, ...all);
}

function phasesOf(layer: Conv2dLayer) {
  const { strides, padding } = layer;
  return Array.from({ length: strides[0] * strides[1] }, (_, phase) => {
    const row = Math.floor(phase / strides[1]);
    const column = phase % strides[1];
    const taps = kernelTaps(layer)
      .map((tap) => ({
        y: (padding.top + row - tap.row) / strides[0],
        x: (padding.left + column - tap.column) / strides[1],
        tap: tap.tap,
      }))
      .filter(({ y, x }) => Number.isInteger(y) && Number.isInteger(x));
    return { row, column, taps };
  });
}
