// A network as data: a list of named nodes, each with an operation, its inputs and its attributes. Plain JSON, so it can
// be hashed, stored in checkpoints and sent to workers. graph-schema.ts validates graphs from outside, and layout.ts
// derives shapes and arrays from them.

/** Height and width. */
export type Pair = readonly [height: number, width: number];

/** Name by which nodes refer to the network's input: the preprocessed images, [height, width, channels]. */
export const inputName = 'input';

/**
 * Order of the input's color channels. The order affects only the meaning of the first layer's weights: Keras's
 * ImageNet preprocessing, which the `resnet` network follows, has blue first.
 */
export const channelOrders = ['rgb', 'bgr'] as const;
export type ChannelOrder = (typeof channelOrders)[number];

/** How a window at the edge of an image is treated: `same` pads with zeros as in TensorFlow, `valid` does not pad. */
export const paddingModes = ['same', 'valid'] as const;
export type PaddingMode = (typeof paddingModes)[number];

/**
 * Initial values of an array. `heNormal` and `glorotUniform` are Keras's initializers of these names (He normal is
 * truncated). `fanInUniform` is PyTorch's default for convolutions and dense layers: uniform between ±1 / √(fan-in).
 * `dirac` makes a convolution copy its input channels, as in PyTorch; outputs beyond the number of inputs are like
 * `fanInUniform`. `whitening` makes a convolution decorrelate patches of the training images (Jordan 2024, arXiv
 * 2404.00498, section 3.2).
 */
export const initializers = [
  'zeros',
  'ones',
  'heNormal',
  'glorotUniform',
  'fanInUniform',
  'dirac',
  'whitening',
] as const;
export type Initializer = (typeof initializers)[number];

/** Names of the arrays that a node can have, after its own name and a slash. */
export const weightNames = ['kernel', 'bias', 'gamma', 'beta'] as const;
export type WeightName = (typeof weightNames)[number];

/** Settings of one array of weights. Omitted settings have the defaults of layout.ts. */
export interface WeightSettings {
  /** Whether the optimizer updates the array. */
  readonly trainable?: boolean | undefined;
  /** Factor by which the learning rate is multiplied for this array. */
  readonly learningRateFactor?: number | undefined;
  /** Whether the L2 penalty applies to this array. */
  readonly weightDecay?: boolean | undefined;
  readonly initializer?: Initializer | undefined;
}

/** What every node has. */
export interface NodeBase {
  /** Unique name, for example `group2/block1/conv1`. Names of arrays begin with it. */
  readonly name: string;
  /** Names of earlier nodes, or `input`. */
  readonly inputs: readonly string[];
  readonly weights?: Readonly<Partial<Record<WeightName, WeightSettings>>> | undefined;
}

/** 2D convolution: [height, width, in] to [height', width', filters]. Kernel: [height, width, in / groups, filters]. */
export interface Conv2dNode extends NodeBase {
  readonly op: 'conv2d';
  readonly filters: number;
  readonly kernelSize: Pair;
  readonly strides: Pair;
  readonly padding: PaddingMode;
  /**
   * Number of groups that the channels are divided into; must divide the input channels and the filters. With one group
   * per channel, this is a depthwise convolution.
   */
  readonly groups: number;
  readonly bias: boolean;
}

/** Fully connected layer: [n] to [units]. Kernel: [n, units]. */
export interface DenseNode extends NodeBase {
  readonly op: 'dense';
  /** Number of outputs, or `classes` for one per class of the dataset. */
  readonly units: number | 'classes';
  readonly bias: boolean;
}

/** Batch norm over the last axis. Training uses the statistics of the slice, evaluation the moving statistics. */
export interface BatchNormNode extends NodeBase {
  readonly op: 'batchNorm';
  /** Added to the variance before the square root is taken. */
  readonly epsilon: number;
  /** Whether to multiply by a trained gamma. */
  readonly scale: boolean;
  /** Whether to add a trained beta. */
  readonly offset: boolean;
}

/**
 * Functions of each element. gelu is x Φ(x) with the error function, not its tanh approximation; silu is x sigmoid(x);
 * relu6 is min(max(x, 0), 6).
 */
export const activations = ['relu', 'relu6', 'gelu', 'silu', 'sigmoid'] as const;
export interface ActivationNode extends NodeBase {
  readonly op: (typeof activations)[number];
}

/** Pooling over windows. The average ignores padding: it divides by the number of pixels of the image in the window. */
export interface PoolNode extends NodeBase {
  readonly op: 'maxPool' | 'averagePool';
  readonly poolSize: Pair;
  readonly strides: Pair;
  readonly padding: PaddingMode;
}

/** Pooling over all pixels: [height, width, channels] to [channels]. */
export interface GlobalPoolNode extends NodeBase {
  readonly op: 'globalAveragePool' | 'globalMaxPool';
}

/** Sum of two or more inputs of the same shape. */
export interface AddNode extends NodeBase {
  readonly op: 'add';
}

/** Product of two inputs: of the same shape, or images [height, width, channels] times a factor per channel. */
export interface MultiplyNode extends NodeBase {
  readonly op: 'multiply';
}

/** Two or more inputs one after the other along the channels. */
export interface ConcatNode extends NodeBase {
  readonly op: 'concat';
}

/** Adds zeros before and after the rows, columns and channels of images. */
export interface PadNode extends NodeBase {
  readonly op: 'pad';
  readonly rows: readonly [before: number, after: number];
  readonly columns: readonly [before: number, after: number];
  readonly channels: readonly [before: number, after: number];
}

/** [height, width, channels] to [height × width × channels], in this order. */
export interface FlattenNode extends NodeBase {
  readonly op: 'flatten';
}

/** The same elements in the same order with another shape: [n] or [height, width, channels]. */
export interface ReshapeNode extends NodeBase {
  readonly op: 'reshape';
  readonly shape: readonly number[];
}

/**
 * In training, sets each element to 0 with probability `rate` and divides the others by 1 - rate. The choice comes from
 * the keyed generator, so it is the same on every worker.
 */
export interface DropoutNode extends NodeBase {
  readonly op: 'dropout';
  readonly rate: number;
}

/** x × factor + offset with constants: one of each, or one per channel. */
export interface ScaleNode extends NodeBase {
  readonly op: 'scale';
  readonly factor: number | readonly number[];
  readonly offset: number | readonly number[];
}

export type GraphNode =
  | Conv2dNode
  | DenseNode
  | BatchNormNode
  | ActivationNode
  | PoolNode
  | GlobalPoolNode
  | AddNode
  | MultiplyNode
  | ConcatNode
  | PadNode
  | FlattenNode
  | ReshapeNode
  | DropoutNode
  | ScaleNode;

export interface NetworkGraph {
  /** Name of the network, such as `resnet20`. */
  readonly name: string;
  readonly channelOrder: ChannelOrder;
  /**
   * Nodes in an order in which each comes after its inputs. The last computes the logits, one per class. Every other
   * node is an input of a later one.
   */
  readonly nodes: readonly GraphNode[];
}
