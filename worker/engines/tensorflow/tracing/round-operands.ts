// Rewrites a float32 graph so that convolutions multiply 16-bit numbers and accumulate in float32. Pure.
import { dataTypes } from '../data-types.js';
import { castTo, copyNode, rebuild, type GraphBuilder, type GraphPass, type GraphTensor } from './graph.js';

/** Indices of the inputs that each operation multiplies. Its other inputs are shapes. */
const multiplied: Readonly<Record<string, readonly number[]>> = {
  Conv2D: [0, 1],
  Conv2DBackpropInput: [1, 2],
  Conv2DBackpropFilter: [0, 2],
  DepthwiseConv2dNative: [0, 1],
  DepthwiseConv2dNativeBackpropInput: [1, 2],
  DepthwiseConv2dNativeBackpropFilter: [0, 2],
};

/**
 * Rounds the operands of convolutions and their gradients to values of the 16-bit type, but stores all tensors as
 * float32. The product of two such values is exact in float32, so this emulates a unit that multiplies 16-bit numbers
 * and accumulates in float32, for processors on which this unit is slow or missing. Each tensor is rounded only once.
 */
export function roundOperands(type: 'bfloat16' | 'float16'): GraphPass {
  const roundedType = dataTypes[type];
  return (graph) => {
    const roundings = new Map<GraphTensor, GraphTensor>();

    function rounded(tensor: GraphTensor, builder: GraphBuilder): GraphTensor {
      let result = roundings.get(tensor);
      if (result === undefined) {
        result = castTo(castTo(tensor, roundedType, builder), dataTypes.float32, builder);
        roundings.set(tensor, result);
      }
      return result;
    }

    return rebuild(graph, (node, inputs, builder) => {
      const operandIndices = node.outputs[0].dataType === dataTypes.float32 ? (multiplied[node.operation] ?? []) : [];
      const operands = inputs.map((input, index) => (operandIndices.includes(index) ? rounded(input, builder) : input));
      return copyNode(node, operands, builder);
    });
  };
}
