// Mixed precision: rewrites a float32 graph to compute the expensive operations in a 16-bit type. Pure.
import { dataTypes } from '../data-types.js';
import { castTo, copyNode, rebuild, type GraphBuilder, type GraphPass, type GraphTensor } from './graph.js';

/** Indices of an operation's inputs and outputs whose data type is its attribute T. */
interface TypedTensors {
  inputs: readonly number[];
  outputs: readonly number[];
}

/**
 * Operations that can be lowered. The statistics of FusedBatchNorm have a separate type attribute, U, and stay float32.
 */
const lowerable: Readonly<Record<string, TypedTensors>> = {
  Conv2D: { inputs: [0, 1], outputs: [0] },
  Conv2DBackpropInput: { inputs: [1, 2], outputs: [0] },
  Conv2DBackpropFilter: { inputs: [0, 2], outputs: [0] },
  DepthwiseConv2dNative: { inputs: [0, 1], outputs: [0] },
  DepthwiseConv2dNativeBackpropInput: { inputs: [1, 2], outputs: [0] },
  DepthwiseConv2dNativeBackpropFilter: { inputs: [0, 2], outputs: [0] },
  FusedBatchNormV3: { inputs: [0], outputs: [0] },
  FusedBatchNormGradV3: { inputs: [0, 1], outputs: [0] },
  Relu: { inputs: [0], outputs: [0] },
  ReluGrad: { inputs: [0, 1], outputs: [0] },
  Relu6: { inputs: [0], outputs: [0] },
  Relu6Grad: { inputs: [0, 1], outputs: [0] },
  Add: { inputs: [0, 1], outputs: [0] },
  AddV2: { inputs: [0, 1], outputs: [0] },
  BiasAdd: { inputs: [0, 1], outputs: [0] },
  AvgPool: { inputs: [0], outputs: [0] },
  AvgPoolGrad: { inputs: [1], outputs: [0] },
  MaxPool: { inputs: [0], outputs: [0] },
  MaxPoolGrad: { inputs: [0, 1, 2], outputs: [0] },
  PadV2: { inputs: [0, 2], outputs: [0] },
  Slice: { inputs: [0], outputs: [0] },
};

/**
 * Operations that are always lowered. Other operations in the table are lowered only if one of the inputs listed there
 * already has the 16-bit type.
 */
const alwaysLowered = new Set([
  'Conv2D',
  'Conv2DBackpropInput',
  'Conv2DBackpropFilter',
  'DepthwiseConv2dNative',
  'DepthwiseConv2dNativeBackpropInput',
  'DepthwiseConv2dNativeBackpropFilter',
]);

/**
 * Lowers convolutions, their gradients and the operations between them to a 16-bit type, with one cast per tensor at
 * the boundaries. Everything else, including the graph's inputs and outputs, stays float32.
 */
export function lowerPrecision(type: 'bfloat16' | 'float16'): GraphPass {
  const lowered = dataTypes[type];
  return (graph) => {
    const casts = new Map<GraphTensor, GraphTensor>();

    function castOnce(tensor: GraphTensor, dataType: number, builder: GraphBuilder): GraphTensor {
      if (tensor.dataType === dataType) return tensor;
      let cast = casts.get(tensor);
      if (cast === undefined) {
        cast = castTo(tensor, dataType, builder);
        casts.set(tensor, cast);
      }
      return cast;
    }

    const toFloat32 = (tensor: GraphTensor, builder: GraphBuilder) =>
      tensor.dataType === lowered ? castOnce(tensor, dataTypes.float32, builder) : tensor;

    return rebuild(
      graph,
      (node, inputs, builder) => {
        const typed = lowerable[node.operation];
        const isLowered =
          typed !== undefined &&
          node.outputs[0].dataType === dataTypes.float32 &&
          (alwaysLowered.has(node.operation) || typed.inputs.some((index) => inputs[index].dataType === lowered));
        if (!isLowered) {
          return copyNode(
            node,
            inputs.map((input) => toFloat32(input, builder)),
            builder,
          );
        }
        return builder.add({
          operation: node.operation,
          inputs: inputs.map((input, index) =>
            typed.inputs.includes(index) ? castOnce(input, lowered, builder) : toFloat32(input, builder),
          ),
          attributes: { ...node.attributes, T: { kind: 'type', value: lowered } },
          outputTypes: node.outputs.map(({ dataType, shape }, index) =>
            typed.outputs.includes(index) ? { dataType: lowered, shape } : { dataType, shape },
          ),
        });
      },
      (replaced, _original, builder) => toFloat32(replaced, builder),
    );
  };
}
