// Removes redundant computations from a graph. All outputs stay bit-identical. Pure.
import { dataTypes } from '../data-types.js';
import { copyNode, rebuild, type Graph, type GraphNode, type GraphTensor } from './graph.js';

/** Operations that return a different result on each run; they are never merged. */
const random = /Random|Multinomial|Dropout|TruncatedNormal|StatelessParameterizedTruncatedNormal/;

/**
 * Merges equal constants and computations, and removes operations that return their input unchanged: Identity, Reshape
 * to the same shape, Cast to the same type, Mul by 1.
 */
export function simplify(graph: Graph): Graph {
  const numberOf = numbering();
  const known = new Map<string, readonly GraphTensor[]>();

  return rebuild(
    graph,
    (node, inputs, builder) => {
      if (isNoOp(node, inputs)) return [inputs[0]];
      const key = random.test(node.operation) ? null : keyOf(node, inputs, numberOf);
      const twin = key === null ? undefined : known.get(key);
      if (twin !== undefined) return twin;
      // The second of two successive reshapes takes the input of the first.
      const [first, ...rest] = inputs;
      const isChain = node.operation === 'Reshape' && first.node.operation === 'Reshape';
      const outputs = copyNode(node, isChain ? [first.node.inputs[0], ...rest] : inputs, builder);
      if (key !== null) known.set(key, outputs);
      return outputs;
    },
    // TensorFlow cannot fetch a tensor that it is fed, so an output that is an input keeps its Identity.
    (replaced, original, builder) =>
      replaced.node.operation === 'Placeholder' ? copyNode(original.node, [replaced], builder)[0] : replaced,
  );
}

function isNoOp(node: GraphNode, [first, second]: readonly GraphTensor[]): boolean {
  switch (node.operation) {
    case 'Identity':
      return true;
    case 'Reshape':
      return sameShape(node.outputs[0].shape, first.shape);
    case 'Cast':
      return node.outputs[0].dataType === first.dataType;
    case 'Mul':
      return isOne(second) && sameShape(node.outputs[0].shape, first.shape);
    default:
      return false;
  }
}

function isOne({ node: { values }, dataType }: GraphTensor): boolean {
  return dataType === dataTypes.float32 && values !== undefined && values.every((value) => value === 1);
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** Returns a key that is equal for nodes that compute the same values. */
function keyOf(node: GraphNode, inputs: readonly GraphTensor[], numberOf: (node: GraphNode) => number): string {
  const sources = inputs.map((input) => `${numberOf(input.node)}:${input.index}`);
  const { values } = node;
  const bytes = values && Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
  return JSON.stringify([node.operation, sources, node.attributes, node.outputs[0]?.shape, bytes]);
}

/** Returns a function that numbers nodes in the order in which it first receives them. */
function numbering(): (node: GraphNode) => number {
  const numbers = new Map<GraphNode, number>();
  return (node) => {
    const number = numbers.get(node) ?? numbers.size;
    numbers.set(node, number);
    return number;
  };
}
