// The ResNets for CIFAR-10 by He et al. 2016, section 4.2: a 3×3 convolution, three groups of residual blocks, and a
// dense layer.
import { LockstepError } from '../../errors.js';
import type { NetworkGraph } from '../graph.js';
import { GraphBuilder } from './graph-builder.js';

export const shortcuts = ['identity', 'projection'] as const;
export type Shortcut = (typeof shortcuts)[number];

export interface ResnetOptions {
  /** Number of weighted layers, 6n+2: 20, 32, 44, 56, 110, … */
  depth: number;
  /**
   * Number of channels in the stem and the first group. The second and third groups have two and four times as many.
   * Must be a multiple of 4 with identity shortcuts, which pad a quarter of the channels on each side.
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

/** Throws `bad-config` if the depth is not 6n+2 or the filters are not a positive multiple of 4. */
export function assertResnetOptions({ depth, initialFilters }: ResnetOptions): void {
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

/** Builds the graph. Throws `bad-config` for invalid options. */
export function resnet(options: ResnetOptions): NetworkGraph {
  assertResnetOptions(options);
  const { depth, initialFilters, shortcut, convBias, bnEpsilon } = options;
  const blocksPerGroup = (depth - 2) / 6;
  const graph = new GraphBuilder({ bias: convBias, epsilon: bnEpsilon });
  let x = graph.relu('stem/relu', graph.batchNorm('stem/bn', graph.conv2d('stem/conv', 'input', initialFilters)));
  for (let group = 0; group < 3; group++) {
    const filters = initialFilters << group;
    for (let index = 0; index < blocksPerGroup; index++) {
      const isNarrower = group > 0 && index === 0;
      const strides = isNarrower ? 2 : 1;
      const name = `group${group + 1}/block${index + 1}`;
      const convolved = graph.conv2d(`${name}/conv1`, x, filters, { strides });
      const inner = graph.relu(`${name}/relu1`, graph.batchNorm(`${name}/bn1`, convolved));
      const residual = graph.batchNorm(`${name}/bn2`, graph.conv2d(`${name}/conv2`, inner, filters));
      let passed = x;
      if (isNarrower && shortcut === 'projection') {
        passed = graph.conv2d(`${name}/projection`, x, filters, { kernelSize: 1, strides });
      } else if (isNarrower) {
        // A window of one pixel with stride 2 takes every second row and column.
        const sampled = graph.pool(`${name}/shortcut/sampled`, 'averagePool', x, {
          size: 1,
          strides,
          padding: 'valid',
        });
        passed = graph.padChannels(`${name}/shortcut`, sampled, filters / 4);
      }
      x = graph.relu(`${name}/relu2`, graph.add(`${name}/add`, residual, passed));
    }
  }
  graph.dense('dense', graph.globalAveragePool('pool', x), 'classes');
  return { name: `resnet${depth}`, channelOrder: 'bgr', nodes: graph.nodes };
}
