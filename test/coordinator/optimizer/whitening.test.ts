import { describe, expect, it } from 'vitest';
import { eigenvectorsOf } from '../../../coordinator/optimizer/eigenvectors.js';
import { initialWeights } from '../../../coordinator/optimizer/initial-weights.js';
import { whiteningImages, whiteningKernel } from '../../../coordinator/optimizer/whitening.js';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import { parseGraph } from '../../../shared/network/graph-schema.js';
import { arrayOf, layoutNetwork } from '../../../shared/network/layout.js';

const format = recordFormat({ height: 4, width: 4, channels: 3, classCount: 2 });
/** Three images; value i has the byte (37 i + 11 i² + 91 floor(i / 5)) mod 256, where i counts the values of all images. */
const records = new Uint8Array(3 * format.recordBytes);
for (let i = 0; i < 3 * format.imageValues; i++) {
  const image = Math.floor(i / format.imageValues);
  records[i + (image + 1) * format.labelBytes] = (i * 37 + 11 * i * i + Math.floor(i / 5) * 91) % 256;
}
const images = { records, format, preprocessing: 'imagenet' as const };
/** Returns the weights of one filter of a kernel. */
const filterOf = (kernel: Float32Array, filters: number, filter: number) =>
  Array.from({ length: kernel.length / filters }, (_, i) => kernel[i * filters + filter]);

describe('a whitening kernel', () => {
  it('has the scaled eigenvectors that numpy.linalg.eigh computes, from the largest eigenvalue to the smallest', () => {
    const kernel = whiteningKernel(images, [2, 2], 24, 'rgb');
    const largest = [
      0.00600496459, 0.85076038, 0.815892833, 0.422879469, -0.265887542, -0.490204063, -0.624715174, -0.428915773,
      0.598927949, 1.42235595, 1.10509419, -0.203393929,
    ];
    const smallest = [
      1.05733073, 4.14401808, 0.571587834, 0.66235908, -1.41165511, -0.590687916, 0.666796733, -1.39275342, -1.17548795,
      -2.5231787, -0.320802365, 2.34360709,
    ];
    filterOf(kernel, 24, 0).forEach((value, i) => expect(value).toBeCloseTo(largest[i], 6));
    filterOf(kernel, 24, 11).forEach((value, i) => expect(value).toBeCloseTo(smallest[i], 6));
  });

  it('has the negatives of these filters in its second half', () => {
    const kernel = whiteningKernel(images, [2, 2], 24, 'rgb');
    for (let filter = 0; filter < 12; filter++) {
      expect(filterOf(kernel, 24, 12 + filter)).toEqual(filterOf(kernel, 24, filter).map((value) => -value));
    }
  });

  it('follows the channel order of the network', () => {
    const [rgb, bgr] = (['rgb', 'bgr'] as const).map((order) => whiteningKernel(images, [2, 2], 2, order));
    const [first, second] = [filterOf(rgb, 2, 0), filterOf(bgr, 2, 0)];
    for (let pixel = 0; pixel < 4; pixel++) {
      const [red, green, blue] = first.slice(3 * pixel);
      [blue, green, red].forEach((value, i) => expect(second[3 * pixel + i]).toBeCloseTo(value, 5));
    }
  });

  it('is measured on fewer images if they are large', () => {
    expect([32, 28, 64, 224].map((size) => whiteningImages({ height: size, width: size }))).toEqual([
      5000, 5000, 1250, 102,
    ]);
  });
});

describe('eigenvectors', () => {
  it('of [[2, 1], [1, 2]] are (1, 1) / √2 for 3 and (1, -1) / √2 for 1', () => {
    const { values, vectors } = eigenvectorsOf(Float64Array.of(2, 1, 1, 2), 2);
    [3, 1].forEach((value, i) => expect(values[i]).toBeCloseTo(value, 14));
    const expected = [Math.SQRT1_2, Math.SQRT1_2, Math.SQRT1_2, -Math.SQRT1_2];
    vectors
      .flatMap((vector) => [...vector])
      .forEach((value, i) => expect(Math.abs(value)).toBeCloseTo(Math.abs(expected[i]), 14));
  });

  it('of a matrix of zeros are unit vectors', () => {
    expect(eigenvectorsOf(new Float64Array(9), 3).values).toEqual([0, 0, 0]);
  });
});

describe('initializers', () => {
  const graph = parseGraph(
    {
      name: 'each',
      nodes: [
        {
          name: 'wide',
          op: 'conv2d',
          inputs: ['input'],
          filters: 5,
          kernelSize: 3,
          weights: { kernel: { initializer: 'dirac' } },
        },
        {
          name: 'narrow',
          op: 'conv2d',
          inputs: ['wide'],
          filters: 2,
          kernelSize: 3,
          weights: { kernel: { initializer: 'dirac' }, bias: { initializer: 'ones' } },
        },
        { name: 'flat', op: 'flatten', inputs: ['narrow'] },
        {
          name: 'dense',
          op: 'dense',
          inputs: ['flat'],
          units: 'classes',
          weights: { kernel: { initializer: 'glorotUniform' } },
        },
      ],
    },
    'the test',
  );
  const layout = layoutNetwork(graph, { height: 8, width: 8, channels: 3, classCount: 72 });
  const weights = initialWeights(layout, 0);
  const valuesOf = (name: string) =>
    arrayOf(
      weights,
      layout.weights.find((array) => array.name === name)!,
    );

  it('dirac makes the first filters copy the inputs, and leaves the others random', () => {
    const kernel = valuesOf('wide/kernel');
    for (let filter = 0; filter < 3; filter++) {
      // The center of a 3×3 kernel with 3 inputs is at 4 × 3.
      const copied = Array.from({ length: 27 }, (_, i) => (i === 12 + filter ? 1 : 0));
      expect(filterOf(kernel, 5, filter)).toEqual(copied);
    }
    expect(new Set(filterOf(kernel, 5, 3)).size).toBe(27);
    // Like PyTorch's default: between ±1 / √27.
    const random = [...filterOf(kernel, 5, 3), ...filterOf(kernel, 5, 4)];
    expect(Math.max(...random)).toBeLessThan(1 / Math.sqrt(27));
    expect(Math.min(...random)).toBeLessThan(-0.8 / Math.sqrt(27));
  });

  it('dirac copies only the first inputs if there are more inputs than filters', () => {
    const kernel = valuesOf('narrow/kernel');
    expect(kernel.filter((value) => value !== 0)).toEqual(Float32Array.of(1, 1));
    expect([kernel[(4 * 5 + 0) * 2 + 0], kernel[(4 * 5 + 1) * 2 + 1]]).toEqual([1, 1]);
  });

  it('ones and glorotUniform have the values of Keras', () => {
    expect(valuesOf('narrow/bias')).toEqual(Float32Array.of(1, 1));
    // The limit is √(6 / (inputs + outputs)) = √(6 / (128 + 72)) = 0.173205.
    const values = valuesOf('dense/kernel');
    const limit = Math.sqrt(6 / 200);
    expect(Math.max(...values)).toBeLessThan(limit);
    expect(Math.max(...values)).toBeGreaterThan(0.99 * limit);
    expect(Math.min(...values)).toBeLessThan(-0.99 * limit);
  });
});
