// MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2): inverted residual blocks with depthwise convolutions.
import { GraphBuilder } from './graph-builder.js';
import { namedNetwork, positiveNumber, stemOption } from './named-network.js';

/** Groups of blocks: the expansion factor, the output channels, the number of blocks, and the stride of the first. */
const groups = [
  { expansion: 1, channels: 16, blocks: 1, strides: 1 },
  { expansion: 6, channels: 24, blocks: 2, strides: 2 },
  { expansion: 6, channels: 32, blocks: 3, strides: 2 },
  { expansion: 6, channels: 64, blocks: 4, strides: 2 },
  { expansion: 6, channels: 96, blocks: 3, strides: 1 },
  { expansion: 6, channels: 160, blocks: 3, strides: 2 },
  { expansion: 6, channels: 320, blocks: 1, strides: 1 },
];

/** Returns a multiple of 8 that is close to `channels` and not below 90% of it, as in the authors' code. */
function multipleOf8(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return rounded < 0.9 * channels ? rounded + 8 : rounded;
}

export const mobilenet = namedNetwork({
  help: 'MobileNetV2: inverted residual blocks with depthwise convolutions (Sandler et al. 2018)',
  options: {
    width: { ...positiveNumber(4), default: 1, help: 'factor of the number of channels' },
    stem: stemOption,
  },
  build: ({ width, stem }) => {
    const isSmall = stem === 'small';
    const graph = new GraphBuilder({ bias: false, epsilon: 1e-5 });
    const normalized = (name: string, x: string) =>
      graph.activation('relu6', `${name}/relu`, graph.batchNorm(`${name}/bn`, x));
    let channels = multipleOf8(32 * width);
    const first = graph.conv2d('stem/conv', 'input', channels, { strides: isSmall ? 1 : 2 });
    let x = normalized('stem', first);
    for (const [group, { expansion, channels: base, blocks, strides: groupStrides }] of groups.entries()) {
      const outputs = multipleOf8(base * width);
      for (let index = 0; index < blocks; index++) {
        const name = `group${group + 1}/block${index + 1}`;
        const strides = index > 0 || (isSmall && group === 1) ? 1 : groupStrides;
        const inner = expansion * channels;
        const expand = graph.conv2d.bind(graph, `${name}/expand/conv`, x, inner, { kernelSize: 1 });
        const expanded = expansion === 1 ? x : normalized(`${name}/expand`, expand());
        const depthwise = graph.conv2d(`${name}/depthwise/conv`, expanded, inner, { strides, groups: inner });
        const filtered = normalized(`${name}/depthwise`, depthwise);
        const projected = graph.conv2d(`${name}/project/conv`, filtered, outputs, { kernelSize: 1 });
        const output = graph.batchNorm(`${name}/project/bn`, projected);
        x = strides === 1 && channels === outputs ? graph.add(`${name}/add`, output, x) : output;
        channels = outputs;
      }
    }
    const last = multipleOf8(1280 * Math.max(1, width));
    x = normalized('head', graph.conv2d('head/conv', x, last, { kernelSize: 1 }));
    graph.dense('dense', graph.globalAveragePool('pool', x));
    return { name: 'mobilenet', channelOrder: 'rgb', nodes: graph.nodes };
  },
});
