// Collects the nodes of an imported network, with their shapes and the variables that their arrays come from.
import { inputName, type GraphNode } from '../../shared/network/graph.js';
import type { Layer, Shape } from '../../shared/network/layers.js';
import { LayerBuilder } from '../../shared/network/layers-of-graph.js';
import type { LayerPlace, Variable, VariableReader } from './model-file.js';

/** A variable of Keras without its position, which follows from the order. */
export type OrderedVariable = Pick<Variable, 'name' | 'shape'> & {
  /** Name of the array: that of the node, a slash, and for example `kernel`. */
  array: string;
};

/** A node without the name, which addNode makes unique. */
export type UnnamedNode = GraphNode extends infer Node ? (Node extends GraphNode ? Omit<Node, 'name'> : never) : never;

export class GraphImporter {
  readonly nodes: GraphNode[] = [];
  /** Variables by the names of the arrays that they are the values of. */
  readonly variables = new Map<string, Variable>();
  /** Momenta of the batch norms. */
  readonly momenta = new Set<number>();
  /** Whether the network augments images, which the import leaves out. */
  augments = false;
  /** Whether the network scales its input itself. */
  scalesInput = false;
  readonly #reader: VariableReader;
  readonly #layers: LayerBuilder;
  readonly #shapes = new Map<string, Shape>();

  constructor(imageShape: Shape, reader: VariableReader) {
    this.#reader = reader;
    // The number of classes only matters to dense layers with the units `classes`, which imported networks lack.
    this.#layers = new LayerBuilder(imageShape, 0);
    this.#shapes.set(inputName, imageShape);
  }

  shapeOf(name: string): Shape {
    return this.#shapes.get(name)!;
  }

  /** Adds a node and returns its name: `name`, changed if it is taken or not allowed in graphs. */
  addNode(name: string, node: UnnamedNode): string {
    const allowed = name.replaceAll(/[^\x21-\x7e\u00a1-\uffff]/g, '_').slice(0, 180) || 'layer';
    let unique = allowed;
    for (let count = 1; this.#shapes.has(unique); count++) unique = `${allowed}_${count}`;
    // The type of a union without one property, put together again.
    const named = { name: unique, ...node } as GraphNode;
    this.#layers.add(named);
    this.nodes.push(named);
    this.#shapes.set(unique, this.lastLayer.shape);
    return unique;
  }

  get lastLayer(): Layer {
    return this.#layers.layers.at(-1)!;
  }

  /** States which variables of a layer the arrays have their values from, in the order of the variables in Keras. */
  addVariables(layer: LayerPlace, variables: readonly OrderedVariable[]): void {
    for (const [index, { array, name, shape }] of variables.entries()) {
      this.variables.set(array, { layer, name, index, shape });
    }
  }

  read(variable: Variable): Float32Array {
    return this.#reader.read(variable);
  }
}
