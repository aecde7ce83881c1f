// Rewrites a graph of float32 to compute the costly operations in a shorter type: mixed precision. Pure.
import { dataTypes } from './data-types.js';
import { castTo, copyNode, rebuild, type GraphBuilder, type GraphPass, type GraphTensor } from './graph.js';

/** Which inputs and outputs of an operation have the type of its attribute T. The others stay as they are. */
interface TypedPlaces {
  inputs: readonly number[];
  outputs: readonly number[];
}

/** What may be lowered. FusedBatchNorm's statistics have a type of their own, U, and stay float32. */
const lowerable: Readonly<Record<string, TypedPlaces>> = {
  Conv2D: { inputs: [0, 1], outputs: [0] },
  Conv2DBackpropInput: { inputs: [1, 2], outputs: [0] },
  Conv2DBackpropFilter: { inputs: [0, 2], outputs: [0] },
  FusedBatchNormV3: { inputs: [0], outputs: [0] },
  FusedBatchNormGradV3: { inputs: [0, 1], outputs: [0] },
  Relu: { inputs: [0], outputs: [0] },
  ReluGrad: { inputs: [0, 1], outputs: [0] },
  Add: { inputs: [0, 1], outputs: [0] },
  AddV2: { inputs: [0, 1], outputs: [0] },
  BiasAdd: { inputs: [0, 1], outputs: [0] },
  AvgPool: { inputs: [0], outputs: [0] },
  AvgPoolGrad: { inputs: [1], outputs: [0] },
  PadV2: { inputs: [0, 2], outputs: [0] },
  Slice: { inputs: [0], outputs: [0] },
};

/** Operations that begin what is lowered; the others in the table follow where a lowered tensor reaches them. */
const beginsLowering = new Set(['Conv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter']);

/**
 * Convolutions, their gradients, and what lies between them compute in the short type. A tensor is cast once where it
 * crosses over. Everything else, the graph's inputs and outputs among it, stays float32.
 */
export function lowerPrecision(type: 'bfloat16' | 'float16'): GraphPass {
  const short = dataTypes[type];
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
      tensor.dataType === short ? castOnce(tensor, dataTypes.float32, builder) : tensor;

    return rebuild(
      graph,
      (node, inputs, builder) => {
        const places = lowerable[node.operation];
        const isLowered =
          places !== undefined &&
          node.outputs[0].dataType === dataTypes.float32 &&
          (beginsLowering.has(node.operation) || places.inputs.some((place) => inputs[place].dataType === short));
        if (!isLowered) {
          return copyNode(
            node,
            inputs.map((input) => toFloat32(input, builder)),
            builder,
          );
        }
        return builder.add({
          operation: node.operation,
          inputs: inputs.map((input, place) =>
            places.inputs.includes(place) ? castOnce(input, short, builder) : toFloat32(input, builder),
          ),
          attributes: { ...node.attributes, T: { kind: 'type', value: short } },
          outputTypes: node.outputs.map(({ dataType, shape }, place) =>
            places.outputs.includes(place) ? { dataType: short, shape } : { dataType, shape },
          ),
        });
      },
      (replaced, _original, builder) => toFloat32(replaced, builder),
    );
  };
}
