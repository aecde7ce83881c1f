// The nodes of a graph with their shapes and arrays, as layout.ts derives them. Engines and exports read these.
import type {
  ActivationNode,
  AddNode,
  BatchNormNode,
  ConcatNode,
  Conv2dNode,
  DenseNode,
  DropoutNode,
  FlattenNode,
  GlobalPoolNode,
  Initializer,
  inputName,
  MultiplyNode,
  PadNode,
  PoolNode,
  ReshapeNode,
  ScaleNode,
} from './graph.js';

/** Shape of one image's value, without the batch dimension: [height, width, channels] or [n]. */
export type Shape = readonly number[];

/** A named array in a flat vector of float32 values. */
export interface ArrayLayout {
  /** Name of the array, for example `group2/block1/conv1/kernel`. */
  name: string;
  /**
   * Shape: [height, width, in / groups, out] for convolution kernels, [in, out] for dense kernels, and one dimension for
   * all others.
   */
  shape: readonly number[];
  /** Index of the array's first element in the vector. */
  offset: number;
  /** Number of elements. */
  size: number;
}

/** An array of weights, with its settings. */
export interface WeightArray extends ArrayLayout {
  /** Whether the optimizer updates the array. The gradient of any other array is 0. */
  trainable: boolean;
  /** Factor by which the learning rate is multiplied for this array. */
  learningRateFactor: number;
  /** Whether the L2 penalty applies to this array. */
  weightDecay: boolean;
  initializer: Initializer;
}

/** Numbers of zero rows and columns around an image. */
export interface Padding {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

/** What all layers have. */
export interface LayerBase {
  /** Position in the list of layers. */
  index: number;
  /** Positions of the layers whose outputs are this layer's inputs. */
  inputs: readonly number[];
  /** Shapes of the inputs. */
  inputShapes: readonly Shape[];
  /** Shape of the output. */
  shape: Shape;
}

/** The preprocessed images, [height, width, channels]. Always the first layer. */
export interface InputLayer extends LayerBase {
  op: 'input';
  name: typeof inputName;
}
export interface Conv2dLayer extends LayerBase, Omit<Conv2dNode, 'inputs' | 'bias' | 'weights' | 'padding'> {
  kernel: WeightArray;
  bias: WeightArray | null;
  padding: Padding;
}
export interface DenseLayer extends LayerBase, Omit<DenseNode, 'inputs' | 'bias' | 'weights' | 'units'> {
  units: number;
  kernel: WeightArray;
  bias: WeightArray | null;
}
export interface BatchNormLayer extends LayerBase, Omit<BatchNormNode, 'inputs' | 'scale' | 'offset' | 'weights'> {
  /** Null for a batch norm that does not scale. */
  gamma: WeightArray | null;
  /** Null for a batch norm that does not add an offset. */
  beta: WeightArray | null;
  /** Mean, in the statistics vector. */
  mean: ArrayLayout;
  /** Biased variance, in the statistics vector: divided by the count, not by the count minus one. */
  variance: ArrayLayout;
}
export interface PoolLayer extends LayerBase, Omit<PoolNode, 'inputs' | 'weights' | 'padding'> {
  padding: Padding;
}
export interface ScaleLayer extends LayerBase, Omit<ScaleNode, 'inputs' | 'weights' | 'factor' | 'offset'> {
  /** One per channel, or a single one for all. */
  factor: readonly number[];
  offset: readonly number[];
}
/** A layer that has the attributes of its node, and no arrays. */
export type PlainLayer<Node> = LayerBase & Omit<Node, 'inputs' | 'weights'>;
export type ActivationLayer = PlainLayer<ActivationNode>;
export type GlobalPoolLayer = PlainLayer<GlobalPoolNode>;
export type AddLayer = PlainLayer<AddNode>;
export type MultiplyLayer = PlainLayer<MultiplyNode>;
export type ConcatLayer = PlainLayer<ConcatNode>;
export type PadLayer = PlainLayer<PadNode>;
export type FlattenLayer = PlainLayer<FlattenNode>;
export type ReshapeLayer = PlainLayer<ReshapeNode>;
export type DropoutLayer = PlainLayer<DropoutNode>;

/** A node with its shapes and arrays. */
export type Layer =
  | InputLayer
  | Conv2dLayer
  | DenseLayer
  | BatchNormLayer
  | ActivationLayer
  | PoolLayer
  | GlobalPoolLayer
  | AddLayer
  | MultiplyLayer
  | ConcatLayer
  | PadLayer
  | FlattenLayer
  | ReshapeLayer
  | DropoutLayer
  | ScaleLayer;

/** Returns the group of a layer in profiles: the first part of its name. */
export function groupOf({ name }: Layer): string {
  return name.split('/', 1)[0];
}
