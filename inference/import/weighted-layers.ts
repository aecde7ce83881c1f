// The layers of Keras with trained variables: convolutions, dense layers and batch norm.
import { z } from 'zod';
import { badNode } from '../../shared/network/shapes.js';
import type { GraphImporter } from './graph-importer.js';
import { activate, layerClass, type PlacedLayer } from './layer-class.js';
import {
  activation,
  channelsLast,
  flag,
  noDilation,
  number,
  padding,
  pair,
  settingsOf,
  weightSettings,
  width,
} from './settings.js';

const convolution = z.object({
  kernel_size: pair,
  strides: pair.default([1, 1]),
  padding,
  data_format: channelsLast,
  dilation_rate: noDilation,
  use_bias: flag.default(true),
  activation,
  ...weightSettings,
});

export const conv2d = layerClass({
  schema: convolution.extend({ filters: width, groups: width.default(1) }),
  hasWeights: true,
  build(graph, layer, config) {
    const { filters, groups, use_bias: bias } = config;
    const node = graph.addNode(layer.name, {
      op: 'conv2d',
      inputs: layer.inputs,
      filters,
      kernelSize: config.kernel_size,
      strides: config.strides,
      padding: config.padding,
      groups,
      bias,
      ...settingsOf(config.trainable, {
        kernel: config.kernel_initializer,
        ...(bias ? { bias: config.bias_initializer } : {}),
      }),
    });
    const channels = graph.shapeOf(layer.inputs[0])[2];
    graph.addVariables(layer, [
      { array: `${node}/kernel`, name: 'kernel', shape: [...config.kernel_size, channels / groups, filters] },
      ...(bias ? [{ array: `${node}/bias`, name: 'bias', shape: [filters] }] : []),
    ]);
    return activate(graph, layer, node, config.activation);
  },
});

const depthwise = convolution.extend({ depth_multiplier: width.default(1) });

/**
 * Adds a depthwise convolution. Keras's kernel, [height, width, in, multiplier], has the same elements in the same order
 * as ours, [height, width, 1, in × multiplier].
 */
function addDepthwise(
  graph: GraphImporter,
  layer: PlacedLayer,
  name: string,
  config: z.output<typeof depthwise> & { bias: boolean },
) {
  const { bias, depth_multiplier: multiplier, kernel_size: kernelSize } = config;
  const channels = graph.shapeOf(layer.inputs[0])[2];
  const node = graph.addNode(name, {
    op: 'conv2d',
    inputs: layer.inputs,
    filters: channels * multiplier,
    kernelSize,
    strides: config.strides,
    padding: config.padding,
    groups: channels,
    bias,
    ...settingsOf(config.trainable, {
      kernel: config.depthwise_initializer,
      ...(bias ? { bias: config.bias_initializer } : {}),
    }),
  });
  const kernel = { array: `${node}/kernel`, name: 'depthwise_kernel', shape: [...kernelSize, channels, multiplier] };
  return { node, kernel, channels: channels * multiplier };
}

export const depthwiseConv2d = layerClass({
  schema: depthwise,
  hasWeights: true,
  build(graph, layer, config) {
    const bias = config.use_bias;
    const { node, kernel, channels } = addDepthwise(graph, layer, layer.name, { ...config, bias });
    graph.addVariables(layer, [kernel, ...(bias ? [{ array: `${node}/bias`, name: 'bias', shape: [channels] }] : [])]);
    return activate(graph, layer, node, config.activation);
  },
});

/** A depthwise convolution without bias, then a 1×1 convolution. */
export const separableConv2d = layerClass({
  schema: depthwise.extend({ filters: width }),
  hasWeights: true,
  build(graph, layer, config) {
    const { filters, use_bias: bias } = config;
    const depthwiseConv = addDepthwise(graph, layer, `${layer.name}/depthwise`, { ...config, bias: false });
    const node = graph.addNode(`${layer.name}/pointwise`, {
      op: 'conv2d',
      inputs: [depthwiseConv.node],
      filters,
      kernelSize: [1, 1],
      strides: [1, 1],
      padding: 'valid',
      groups: 1,
      bias,
      ...settingsOf(config.trainable, {
        kernel: config.pointwise_initializer,
        ...(bias ? { bias: config.bias_initializer } : {}),
      }),
    });
    graph.addVariables(layer, [
      depthwiseConv.kernel,
      { array: `${node}/kernel`, name: 'pointwise_kernel', shape: [1, 1, depthwiseConv.channels, filters] },
      ...(bias ? [{ array: `${node}/bias`, name: 'bias', shape: [filters] }] : []),
    ]);
    return activate(graph, layer, node, config.activation);
  },
});

/** A dense layer. On images, Keras applies it to each pixel, which is a 1×1 convolution. */
export const dense = layerClass({
  schema: z.object({ units: width, use_bias: flag.default(true), activation, ...weightSettings }),
  hasWeights: true,
  build(graph, layer, config) {
    const { units, use_bias: bias } = config;
    const shape = graph.shapeOf(layer.inputs[0]);
    const common = {
      inputs: layer.inputs,
      bias,
      ...settingsOf(config.trainable, {
        kernel: config.kernel_initializer,
        ...(bias ? { bias: config.bias_initializer } : {}),
      }),
    };
    const node =
      shape.length === 1
        ? graph.addNode(layer.name, { op: 'dense', units, ...common })
        : graph.addNode(layer.name, {
            op: 'conv2d',
            filters: units,
            kernelSize: [1, 1],
            strides: [1, 1],
            padding: 'valid',
            groups: 1,
            ...common,
          });
    graph.addVariables(layer, [
      { array: `${node}/kernel`, name: 'kernel', shape: [shape.at(-1)!, units] },
      ...(bias ? [{ array: `${node}/bias`, name: 'bias', shape: [units] }] : []),
    ]);
    return activate(graph, layer, node, config.activation);
  },
});

export const batchNormalization = layerClass({
  schema: z.object({
    axis: z.union([z.int(), z.tuple([z.int()]).transform(([axis]) => axis)], { error: '-1' }).default(-1),
    momentum: number.default(0.99),
    epsilon: number.min(0, 'at least 0').default(0.001),
    scale: flag.default(true),
    center: flag.default(true),
    ...weightSettings,
  }),
  hasWeights: true,
  build(graph, layer, config) {
    const { scale, center: offset, epsilon } = config;
    const shape = graph.shapeOf(layer.inputs[0]);
    if (config.axis !== -1 && config.axis !== shape.length) {
      throw badNode(layer, `axis is ${config.axis}: only batch norm over the last axis, -1, can be imported`);
    }
    const node = graph.addNode(layer.name, {
      op: 'batchNorm',
      inputs: layer.inputs,
      epsilon,
      scale,
      offset,
      ...settingsOf(config.trainable, {
        ...(scale ? { gamma: config.gamma_initializer } : {}),
        ...(offset ? { beta: config.beta_initializer } : {}),
      }),
    });
    const names = [...(scale ? ['gamma'] : []), ...(offset ? ['beta'] : []), 'moving_mean', 'moving_variance'];
    const channels = shape.slice(-1);
    graph.addVariables(
      layer,
      names.map((name) => ({ array: `${node}/${name}`, name, shape: channels })),
    );
    graph.momenta.add(config.momentum);
    return node;
  },
});
