// The classes of Keras layers that can be imported, by name.
import { z } from 'zod';
import { badNode, sizeOf } from '../../shared/network/shapes.js';
import { layerClass, type LayerClass } from './layer-class.js';
import { normalization, randomAugmentation, rescaling } from './preprocessing-layers.js';
import { activation, channelsLast, flag, number, padding, pair } from './settings.js';
import { batchNormalization, conv2d, dense, depthwiseConv2d, separableConv2d } from './weighted-layers.js';

const activationLayer = layerClass({
  schema: z.object({ activation }),
  build: (graph, { name, inputs }, config) =>
    config.activation === null ? inputs[0] : graph.addNode(name, { op: config.activation, inputs }),
});

const relu = layerClass({
  schema: z.object({
    max_value: z.literal(6, '6 or null').nullish(),
    negative_slope: z.literal(0, '0').nullish(),
    threshold: z.literal(0, '0').nullish(),
  }),
  build: (graph, { name, inputs }, config) =>
    graph.addNode(name, { op: (config.max_value ?? null) === null ? 'relu' : 'relu6', inputs }),
});

const pooling = (op: 'maxPool' | 'averagePool') =>
  layerClass({
    schema: z.object({
      pool_size: pair.default([2, 2]),
      strides: pair.nullish(),
      padding,
      data_format: channelsLast,
    }),
    build: (graph, { name, inputs }, config) =>
      graph.addNode(name, {
        op,
        inputs,
        poolSize: config.pool_size,
        strides: config.strides ?? config.pool_size,
        padding: config.padding,
      }),
  });

const globalPooling = (op: 'globalAveragePool' | 'globalMaxPool') =>
  layerClass({
    schema: z.object({ data_format: channelsLast, keepdims: flag.default(false) }),
    build(graph, { name, inputs }, { keepdims }) {
      const pooled = graph.addNode(name, { op, inputs });
      if (!keepdims) return pooled;
      const shape = [1, 1, ...graph.shapeOf(pooled)];
      return graph.addNode(`${name}/reshape`, { op: 'reshape', inputs: [pooled], shape });
    },
  });

const add = layerClass({
  schema: z.object({}),
  takesSeveral: true,
  build: (graph, { name, inputs }) => graph.addNode(name, { op: 'add', inputs }),
});

const multiply = layerClass({
  schema: z.object({}),
  takesSeveral: true,
  build(graph, { name, inputs: [first, ...others] }) {
    return others.reduce((product, factor) => {
      // A factor per channel must be the second input.
      const [a, b] = [product, factor].toSorted((x, y) => sizeOf(graph.shapeOf(y)) - sizeOf(graph.shapeOf(x)));
      return graph.addNode(name, { op: 'multiply', inputs: [a, b] });
    }, first);
  },
});

const concatenate = layerClass({
  schema: z.object({ axis: z.int('-1').default(-1) }),
  takesSeveral: true,
  build(graph, layer, { axis }) {
    if (axis !== -1 && axis !== graph.shapeOf(layer.inputs[0]).length) {
      throw badNode(layer, `axis is ${axis}: only concatenation along the last axis, -1, can be imported`);
    }
    return graph.addNode(layer.name, { op: 'concat', inputs: layer.inputs });
  },
});

const margin = z.int().min(0).max(4096);
const margins = z.union([margin.transform((size) => [size, size] as const), z.tuple([margin, margin])]);

const zeroPadding2d = layerClass({
  schema: z.object({
    padding: z
      .union(
        [
          margins.transform(
            ([rows, columns]) =>
              [
                [rows, rows],
                [columns, columns],
              ] as const,
          ),
          z.tuple([margins, margins]),
        ],
        {
          error: 'whole numbers from 0 to 4096: one, two or [[top, bottom], [left, right]]',
        },
      )
      .default([
        [1, 1],
        [1, 1],
      ]),
    data_format: z.enum(['channels_last', 'channels_first']).nullable().default('channels_last'),
  }),
  build(graph, { name, inputs }, { padding: [first, second], data_format: format }) {
    // `channels_first` pads the last two axes. Here, these are the columns and the channels.
    const isFirst = format === 'channels_first';
    return graph.addNode(name, {
      op: 'pad',
      inputs,
      rows: isFirst ? [0, 0] : first,
      columns: isFirst ? first : second,
      channels: isFirst ? second : [0, 0],
    });
  },
});

const flatten = layerClass({
  schema: z.object({ data_format: channelsLast }),
  build: (graph, { name, inputs }) => graph.addNode(name, { op: 'flatten', inputs }),
});

const reshape = layerClass({
  schema: z.object({
    target_shape: z
      .array(z.int().min(-1).max(65_536))
      .refine((shape) => [1, 3].includes(shape.length) && shape.filter((extent) => extent < 1).length <= 1, {
        error: '[n] or [height, width, channels], at most one of them -1',
      }),
  }),
  build(graph, { name, inputs }, { target_shape: target }) {
    const known = target.reduce((product, extent) => (extent === -1 ? product : product * extent), 1);
    const rest = sizeOf(graph.shapeOf(inputs[0])) / known;
    const shape = target.map((extent) => (extent === -1 ? rest : extent));
    return graph.addNode(name, { op: 'reshape', inputs, shape });
  },
});

const dropout = layerClass({
  schema: z.object({ rate: number.min(0, 'at least 0').lt(1, 'below 1') }),
  build: (graph, { name, inputs }, { rate }) => graph.addNode(name, { op: 'dropout', inputs, rate }),
});

export const layerClasses: ReadonlyMap<string, LayerClass> = new Map([
  ['Conv2D', conv2d],
  ['DepthwiseConv2D', depthwiseConv2d],
  ['SeparableConv2D', separableConv2d],
  ['Dense', dense],
  ['BatchNormalization', batchNormalization],
  ['Activation', activationLayer],
  ['ReLU', relu],
  ['MaxPooling2D', pooling('maxPool')],
  ['AveragePooling2D', pooling('averagePool')],
  ['GlobalMaxPooling2D', globalPooling('globalMaxPool')],
  ['GlobalAveragePooling2D', globalPooling('globalAveragePool')],
  ['Add', add],
  ['Multiply', multiply],
  ['Concatenate', concatenate],
  ['ZeroPadding2D', zeroPadding2d],
  ['Flatten', flatten],
  ['Reshape', reshape],
  ['Dropout', dropout],
  ['Rescaling', rescaling],
  ['Normalization', normalization],
  ['RandomBrightness', randomAugmentation],
  ['RandomContrast', randomAugmentation],
  ['RandomFlip', randomAugmentation],
  ['RandomRotation', randomAugmentation],
  ['RandomTranslation', randomAugmentation],
  ['RandomZoom', randomAugmentation],
]);
