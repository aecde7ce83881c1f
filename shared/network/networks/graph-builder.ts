// Collects the nodes of a graph. Methods add a node and return its name, which later nodes take as an input.
import type { activations, DenseNode, GraphNode, Pair, PaddingMode, PoolNode } from '../graph.js';

/** A size for height and width, or one for each. */
export type Extent = number | Pair;

interface Defaults {
  /** Whether convolutions have biases. */
  bias: boolean;
  /** Epsilon of batch norms. */
  epsilon: number;
}

interface ConvOptions {
  /** 3 by default. */
  kernelSize?: Extent;
  /** 1 by default. */
  strides?: Extent;
  /** `same` by default. */
  padding?: PaddingMode;
  /** 1 by default. */
  groups?: number;
  bias?: boolean;
  weights?: GraphNode['weights'];
}

interface BatchNormOptions {
  /** Whether there is a gamma; true by default. */
  scale?: boolean;
  weights?: GraphNode['weights'];
}

function pairOf(extent: Extent): Pair {
  return typeof extent === 'number' ? [extent, extent] : extent;
}

export class GraphBuilder {
  readonly nodes: GraphNode[] = [];
  readonly #defaults: Defaults;

  constructor(defaults: Defaults) {
    this.#defaults = defaults;
  }

  node(node: GraphNode): string {
    this.nodes.push(node);
    return node.name;
  }

  add(name: string, ...inputs: string[]): string {
    return this.node({ name, op: 'add', inputs });
  }

  conv2d(name: string, input: string, filters: number, options: ConvOptions = {}): string {
    const { kernelSize = 3, strides = 1, padding = 'same', groups = 1, bias = this.#defaults.bias, weights } = options;
    return this.node({
      name,
      op: 'conv2d',
      inputs: [input],
      filters,
      kernelSize: pairOf(kernelSize),
      strides: pairOf(strides),
      padding,
      groups,
      bias,
      ...(weights === undefined ? {} : { weights }),
    });
  }

  dense(
    name: string,
    input: string,
    units: DenseNode['units'] = 'classes',
    { bias = true, weights }: Pick<ConvOptions, 'bias' | 'weights'> = {},
  ): string {
    return this.node({
      name,
      op: 'dense',
      inputs: [input],
      units,
      bias,
      ...(weights === undefined ? {} : { weights }),
    });
  }

  batchNorm(name: string, input: string, { scale = true, weights }: BatchNormOptions = {}): string {
    const { epsilon } = this.#defaults;
    return this.node({
      name,
      op: 'batchNorm',
      inputs: [input],
      epsilon,
      scale,
      offset: true,
      ...(weights === undefined ? {} : { weights }),
    });
  }

  activation(op: (typeof activations)[number], name: string, input: string): string {
    return this.node({ name, op, inputs: [input] });
  }

  relu(name: string, input: string): string {
    return this.activation('relu', name, input);
  }

  pool(
    name: string,
    op: PoolNode['op'],
    input: string,
    { size, strides = size, padding = 'valid' }: { size: Extent; strides?: Extent; padding?: PaddingMode },
  ): string {
    return this.node({ name, op, inputs: [input], poolSize: pairOf(size), strides: pairOf(strides), padding });
  }

  flatten(name: string, input: string): string {
    return this.node({ name, op: 'flatten', inputs: [input] });
  }

  globalAveragePool(name: string, input: string): string {
    return this.node({ name, op: 'globalAveragePool', inputs: [input] });
  }

  /** Adds as many channels of zeros before the channels as after them. */
  padChannels(name: string, input: string, perSide: number): string {
    const none = [0, 0] as const;
    return this.node({ name, op: 'pad', inputs: [input], rows: none, columns: none, channels: [perSide, perSide] });
  }
}
