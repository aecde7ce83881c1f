// Rewrites a graph of float32 so that convolutions multiply numbers of a shorter type, and add in float32. Pure.
import { dataTypes } from './data-types.js';
import { castTo, copyNode, rebuild, type GraphBuilder, type GraphPass, type GraphTensor } from './graph.js';

/** Which inputs of a convolution are multiplied; the others are shapes. */
const multiplied: Readonly<Record<string, readonly number[]>> = {
  Conv2D: [0, 1],
  Conv2DBackpropInput: [1, 2],
  Conv2DBackpropFilter: [0, 2],
};

/**
 * Rounds what convolutions and their gradients multiply to the short type; everything stays float32. A product of two such
 * numbers is exact in float32, so this is what a unit for the short type computes that adds in float32, on a processor that
 * has none, or a slow one. A tensor is rounded once, however many take it in.
 */
export function roundOperands(type: 'bfloat16' | 'float16'): GraphPass {
  const short = dataTypes[type];
  return (graph) => {
    const roundings = new Map<GraphTensor, GraphTensor>();

    function rounded(tensor: GraphTensor, builder: GraphBuilder): GraphTensor {
      let result = roundings.get(tensor);
      if (result === undefined) {
        result = castTo(castTo(tensor, short, builder), dataTypes.float32, builder);
        roundings.set(tensor, result);
      }
      return result;
    }

    return rebuild(graph, (node, inputs, builder) => {
      const places = node.outputs[0].dataType === dataTypes.float32 ? (multiplied[node.operation] ?? []) : [];
      const operands = inputs.map((input, place) => (places.includes(place) ? rounded(input, builder) : input));
      return copyNode(node, operands, builder);
    });
  };
}
