// A multilayer perceptron: dense layers with ReLU, without convolutions.
import { GraphBuilder } from './graph-builder.js';
import { namedNetwork, wholeNumbers } from './named-network.js';

export const mlp = namedNetwork({
  help: 'multilayer perceptron: dense layers with ReLU',
  options: {
    hidden: { ...wholeNumbers(1, 16_384, 32), default: [512, 256], help: 'sizes of the hidden layers' },
  },
  build: ({ hidden }) => {
    const graph = new GraphBuilder({ bias: true, epsilon: 0 });
    let x = graph.flatten('flatten', 'input');
    for (const [index, units] of hidden.entries()) {
      x = graph.relu(`relu${index + 1}`, graph.dense(`dense${index + 1}`, x, units));
    }
    graph.dense('dense', x);
    return { name: 'mlp', channelOrder: 'rgb', nodes: graph.nodes };
  },
});
