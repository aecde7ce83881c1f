// A TensorFlow graph as plain objects: the recorder builds it, passes rewrite it, and saved-model.ts stores it. Pure.

/** An attribute of an operation. Kinds with plural names are lists. */
export type Attribute =
  | { kind: 'type'; value: number }
  | { kind: 'int'; value: number }
  | { kind: 'ints'; value: readonly number[] }
  | { kind: 'float'; value: number }
  | { kind: 'floats'; value: readonly number[] }
  | { kind: 'bool'; value: boolean }
  | { kind: 'bools'; value: readonly boolean[] }
  | { kind: 'string'; value: string }
  | { kind: 'shape'; value: readonly number[] };

export type Attributes = Readonly<Record<string, Attribute>>;

/** Values of a constant, in JavaScript memory. */
export type ConstantValues = Float32Array | Int32Array | Uint8Array;

export interface TensorType {
  /** A code from dataTypes. */
  dataType: number;
  shape: readonly number[];
}

/** An output of a node, which other nodes can take as an input. */
export interface GraphTensor extends TensorType {
  readonly node: GraphNode;
  /** Zero-based index among the node's outputs. */
  readonly index: number;
}

export interface GraphNode {
  /** TensorFlow's name for the operation: `Placeholder` for an input of the graph, `Const` for a constant. */
  readonly operation: string;
  readonly inputs: readonly GraphTensor[];
  readonly attributes: Attributes;
  readonly outputs: readonly GraphTensor[];
  /** Values of a `Const` node; undefined for other nodes. */
  readonly values: ConstantValues | undefined;
}

export interface Graph {
  /** Nodes in topological order. */
  readonly nodes: readonly GraphNode[];
  /** Outputs of the `Placeholder` nodes, in the order of the graph's inputs. */
  readonly inputs: readonly GraphTensor[];
  readonly outputs: ReadonlyMap<string, GraphTensor>;
}

/** Rewrites a graph to an equivalent or less precise one. */
export type GraphPass = (graph: Graph) => Graph;

export interface NodeParts {
  operation: string;
  inputs: readonly GraphTensor[];
  attributes: Attributes;
  outputTypes: readonly TensorType[];
  values?: ConstantValues | undefined;
}

/** Builds a graph node by node. */
export class GraphBuilder {
  readonly #nodes: GraphNode[] = [];
  readonly #inputs: GraphTensor[] = [];

  add({ operation, inputs, attributes, outputTypes, values }: NodeParts): readonly GraphTensor[] {
    const outputs: GraphTensor[] = [];
    const node: GraphNode = { operation, inputs, attributes, outputs, values };
    for (const [index, { dataType, shape }] of outputTypes.entries()) outputs.push({ node, index, dataType, shape });
    this.#nodes.push(node);
    return outputs;
  }

  addInput(type: TensorType): GraphTensor {
    const attributes: Attributes = {
      dtype: { kind: 'type', value: type.dataType },
      shape: { kind: 'shape', value: type.shape },
    };
    const [input] = this.add({ operation: 'Placeholder', inputs: [], attributes, outputTypes: [type] });
    this.#inputs.push(input);
    return input;
  }

  addConstant(type: TensorType, values: ConstantValues): GraphTensor {
    const attributes: Attributes = { dtype: { kind: 'type', value: type.dataType } };
    return this.add({ operation: 'Const', inputs: [], attributes, outputTypes: [type], values })[0];
  }

  /** Returns the graph. Omits nodes that no output depends on, but keeps all inputs. */
  finish(outputs: ReadonlyMap<string, GraphTensor>): Graph {
    const needed = new Set<GraphNode>();
    const pending = [...outputs.values()].map(({ node }) => node);
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (needed.has(node)) continue;
      needed.add(node);
      for (const input of node.inputs) pending.push(input.node);
    }
    const inputNodes = new Set(this.#inputs.map(({ node }) => node));
    const nodes = this.#nodes.filter((node) => needed.has(node) || inputNodes.has(node));
    return { nodes, inputs: this.#inputs, outputs };
  }
}

/**
 * Rebuilds a graph node by node.
 * @param replace takes a node and its new inputs and returns the tensors that replace the node's outputs
 * @param replaceOutput takes the replacement of a graph output and may add nodes after it
 */
export function rebuild(
  graph: Graph,
  replace: (node: GraphNode, inputs: readonly GraphTensor[], builder: GraphBuilder) => readonly GraphTensor[],
  replaceOutput: (replaced: GraphTensor, original: GraphTensor, builder: GraphBuilder) => GraphTensor = (replaced) =>
    replaced,
): Graph {
  const builder = new GraphBuilder();
  const replacements = new Map<GraphTensor, GraphTensor>(graph.inputs.map((input) => [input, builder.addInput(input)]));
  for (const node of graph.nodes) {
    if (replacements.has(node.outputs[0])) continue; // an input
    const inputs = node.inputs.map((input) => replacements.get(input)!);
    const replaced = replace(node, inputs, builder);
    for (const [index, output] of node.outputs.entries()) replacements.set(output, replaced[index]);
  }
  const outputs = [...graph.outputs].map(
    ([name, output]) => [name, replaceOutput(replacements.get(output)!, output, builder)] as const,
  );
  return builder.finish(new Map(outputs));
}

/** Adds a copy of a node, with these inputs in place of its own. */
export function copyNode(node: GraphNode, inputs: readonly GraphTensor[], builder: GraphBuilder) {
  const { operation, attributes, outputs, values } = node;
  return builder.add({ operation, inputs, attributes, outputTypes: outputs, values });
}

/** Adds a cast, which rounds to nearest, with ties to even. */
export function castTo(tensor: GraphTensor, dataType: number, builder: GraphBuilder): GraphTensor {
  return builder.add({
    operation: 'Cast',
    inputs: [tensor],
    attributes: {
      SrcT: { kind: 'type', value: tensor.dataType },
      DstT: { kind: 'type', value: dataType },
      Truncate: { kind: 'bool', value: false },
    },
    outputTypes: [{ dataType, shape: tensor.shape }],
  })[0];
}
