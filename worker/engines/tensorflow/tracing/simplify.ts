// Takes out of a graph what need not be computed. Changes no bit of any output. Pure.
import { dataTypes } from './data-types.js';
import { copyNode, rebuild, type Graph, type GraphNode, type GraphTensor } from './graph.js';

/** Operations that give another result at each run. Two of them are two even where they look alike. */
const drawing = /Random|Multinomial|Dropout|TruncatedNormal|StatelessParameterizedTruncatedNormal/;

/**
 * Constants and computations that occur twice are kept once, and an operation that passes its input on as it is goes:
 * Identity, Reshape to the shape or Cast to the type that is there already, and Mul by 1.
 */
export function simplify(graph: Graph): Graph {
  const numberOf = numbering();
  const known = new Map<string, readonly GraphTensor[]>();

  return rebuild(
    graph,
    (node, inputs, builder) => {
      if (passesOn(node, inputs)) return [inputs[0]];
      const key = drawing.test(node.operation) ? null : keyOf(node, inputs, numberOf);
      const twin = key === null ? undefined : known.get(key);
      if (twin !== undefined) return twin;
      // A reshape of a reshape reads from where the first one does.
      const [first, ...rest] = inputs;
      const isChain = node.operation === 'Reshape' && first.node.operation === 'Reshape';
      const outputs = copyNode(node, isChain ? [first.node.inputs[0], ...rest] : inputs, builder);
      if (key !== null) known.set(key, outputs);
      return outputs;
    },
    // TensorFlow does not fetch what it is fed: an output that is an input keeps its Identity.
    (replaced, original, builder) =>
      replaced.node.operation === 'Placeholder' ? copyNode(original.node, [replaced], builder)[0] : replaced,
  );
}

function passesOn(node: GraphNode, [first, second]: readonly GraphTensor[]): boolean {
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

/** Equal for nodes that compute the same. */
function keyOf(node: GraphNode, inputs: readonly GraphTensor[], numberOf: (node: GraphNode) => number): string {
  const sources = inputs.map((input) => `${numberOf(input.node)}:${input.index}`);
  const { values } = node;
  const bytes = values && Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
  return JSON.stringify([node.operation, sources, node.attributes, node.outputs[0]?.shape, bytes]);
}

/** Numbers nodes in the order in which it is asked about them. */
function numbering(): (node: GraphNode) => number {
  const numbers = new Map<GraphNode, number>();
  return (node) => {
    const number = numbers.get(node) ?? numbers.size;
    numbers.set(node, number);
    return number;
  };
}
