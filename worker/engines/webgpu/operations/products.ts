// Convolutions and dense layers.
import type { Conv2dLayer, DenseLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { mergeSumsKernel } from '../kernels/batch-norm.js';
import { columnSumKernel, partialSums } from '../kernels/column-sums.js';
import { filterGradientKernel, forwardKernel, inputGradientKernel, stripPixels } from '../kernels/convolution.js';
import {
  groupedFilterGradientKernel,
  groupedForwardKernel,
  groupedInputGradientKernel,
} from '../kernels/grouped-convolution.js';
import type { Geometry } from '../kernels/operands.js';
import type { Kernel } from '../wgsl/kernel.js';
import { productSums } from '../kernels/matrix-product.js';
import { Extent, Tensor, type Resource } from '../memory/resources.js';
import type { Lowering } from './lowering.js';
import { PendingProduct, Stored, type Epilogue, type Value } from '../values/value.js';

export function lowerDense(lowering: Lowering, layer: DenseLayer, x: Value): Value {
  return lowerProduct(
    lowering,
    layer,
    {
      height: 1,
      width: 1,
      channels: layer.inputShapes[0][0],
      outHeight: 1,
      outWidth: 1,
      filters: layer.units,
      kernelSize: [1, 1],
      strides: [1, 1],
      padding: { top: 0, bottom: 0, left: 0, right: 0 },
      groups: 1,
    },
    x,
  );
}

export function lowerConvolution(lowering: Lowering, layer: Conv2dLayer, x: Value): Value {
  const [height, width, channels] = layer.inputShapes[0];
  const [outHeight, outWidth, filters] = layer.shape;
  const { kernelSize, strides, padding, groups } = layer;
  const geometry = { height, width, channels, outHeight, outWidth, filters, kernelSize, strides, padding, groups };
  return lowerProduct(lowering, layer, geometry, x);
}

const plain = { forward: forwardKernel, inputGradient: inputGradientKernel, filterGradient: filterGradientKernel };
const grouped = {
  forward: groupedForwardKernel,
  inputGradient: groupedInputGradientKernel,
  filterGradient: groupedFilterGradientKernel,
};

function lowerProduct(lowering: Lowering, layer: Conv2dLayer | DenseLayer, g: Geometry, x: Value): Value {
  const kernels = g.groups === 1 ? plain : grouped;
  const filters = lowering.weights(layer.kernel);
  const output = new Stored(layer.shape);
  const moments =
    lowering.wantsMoments(layer) && g.groups === 1 ? productSums(g.outHeight * g.outWidth, g.filters) : undefined;
  if (moments !== undefined) lowering.moments.set(layer.index, moments);
  const bias = lowering.weightsOrNull(layer.bias);
  lowering.add(kernels.forward(g, x, filters, bias, output.resource, moments), 'forward');
  lowering.onBackward(layer, (gradient) => {
    addFilterGradient(lowering, layer, g, (partials) => kernels.filterGradient(g, x, gradient, partials));
    addBiasGradient(lowering, layer, gradient);
    const { group } = lowering;
    const add = (epilogue: Epilogue, result: Resource) => {
      const kernel = kernels.inputGradient(g, gradient, filters, epilogue, result);
      lowering.program.add(kernel, 'input gradients', group);
    };
    lowering.contribute(
      layer,
      0,
      () => new PendingProduct(x.shape, [...gradient.resources, filters], g.groups === 1, add),
    );
  });
  return output;
}

function addFilterGradient(
  lowering: Lowering,
  { kernel }: Conv2dLayer | DenseLayer,
  g: Geometry,
  kernelFor: (partials: Tensor) => Kernel,
): void {
  const output = lowering.gradientOf(kernel);
  if (output === null) return;
  const pixels = g.outHeight * g.outWidth;
  const per = stripPixels(pixels);
  const partials = new Tensor(new Extent(pixels, { per, times: kernel.size }));
  lowering.add(kernelFor(partials), 'filter gradients');
  lowering.addStrips({ partials, strips: new Extent(pixels, { per }), size: kernel.size, output });
}

function addBiasGradient(lowering: Lowering, { bias, shape }: Conv2dLayer | DenseLayer, gradient: Value): void {
  const output = lowering.gradientOf(bias);
  if (output === null) return;
  const channels = shape.at(-1)!;
  const columns = { pixels: sizeOf(shape) / channels, channels };
  const sums = partialSums(columns, 1);
  lowering.add(
    columnSumKernel(columns, (kernel) => [gradient.load(kernel, 1)], sums.partials),
    'other gradients',
  );
  lowering.add(mergeSumsKernel(sums, channels, [output], null), 'other gradients');
}
