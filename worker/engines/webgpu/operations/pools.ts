// Pooling layers, forward and backward.
import type { GlobalPoolLayer, PoolLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { pixelSumKernel, poolGradientKernel, poolKernel, type Windows } from '../kernels/pooling.js';
import { Extent, Tensor } from '../memory/resources.js';
import { PeakGradient, Sampled, Spread, Unsampled } from '../values/gathered.js';
import type { Lowering } from './lowering.js';
import { Stored, type Value } from '../values/value.js';

export function lowerPool(lowering: Lowering, layer: PoolLayer, x: Value): Value {
  // A window of one pixel only takes some of the pixels.
  if (layer.poolSize.every((size) => size === 1)) {
    lowering.onBackward(layer, (gradient) =>
      lowering.contribute(layer, 0, () => new Unsampled(x.shape, gradient, layer.strides)),
    );
    return new Sampled(layer.shape, x, layer.strides);
  }
  const output = new Stored(layer.shape);
  const positions = layer.op === 'maxPool' ? new Tensor(new Extent(sizeOf(layer.shape))) : null;
  lowering.add(poolKernel(layer, x, output.resource, positions), 'forward');
  lowering.onBackward(layer, (gradient) =>
    lowering.contribute(layer, 0, () => {
      const toInput = new Stored(x.shape);
      lowering.add(poolGradientKernel(layer, gradient, positions, toInput.resource), 'other gradients');
      return toInput;
    }),
  );
  return output;
}

export function lowerGlobalPool(lowering: Lowering, layer: GlobalPoolLayer, x: Value): Value {
  const [height, width] = x.shape;
  const output = new Stored(layer.shape);
  if (layer.op === 'globalAveragePool') {
    const share = 1 / (height * width);
    lowering.add(pixelSumKernel(x, share, output.resource), 'forward');
    lowering.onBackward(layer, (gradient) => lowering.contribute(layer, 0, () => new Spread(x.shape, gradient, share)));
    return output;
  }
  const windows: Windows = {
    poolSize: [height, width],
    strides: [1, 1],
    padding: { top: 0, bottom: 0, left: 0, right: 0 },
    inputShapes: layer.inputShapes,
    shape: [1, 1, ...layer.shape],
  };
  const positions = new Tensor(new Extent(layer.shape[0]));
  lowering.add(poolKernel(windows, x, output.resource, positions), 'forward');
  lowering.onBackward(layer, (gradient) =>
    lowering.contribute(layer, 0, () => new PeakGradient(x.shape, gradient, positions)),
  );
  return output;
}
