// Interface of the compiled kernels, which are documented in assembly/. Addresses and byte sizes are plain numbers. A
// tensor is described by its address, its size (height and width) and its number of channels.

/** A range of images in a tensor. */
type Images = readonly [first: number, count: number];
/** A range of images in tensors with this size and number of channels. */
type SizedImages = readonly [size: number, channels: number, ...Images];
/** A range of images with this many pixels, and the numbers of input and output channels of a convolution. */
type WinogradImages = readonly [
  rows: number,
  columns: number,
  inputs: number,
  outputs: number,
  ...Images,
  scratch: number,
];
/** How a convolution traverses a tensor: start address in image 0, and bytes to the next image, row and pixel. */
export type Strides = readonly [address: number, imageBytes: number, rowBytes: number, pixelBytes: number];
type Taps = readonly [depth: number, taps: number, tapCount: number];
/** Address of sums, and true to add to the existing sums or false to overwrite them. */
type Sums = readonly [sums: number, continues: boolean];
type PartialSums = readonly [partialSums: number, partialCount: number];
type BatchNorm = readonly [gamma: number, beta: number, bias: number, epsilon: number, coefficients: number];
/** The activation of the preceding layer, and the input and means of that layer's batch norm. */
type PrecedingLayer = readonly [activation: number, normalized: number, means: number];
/**
 * Layout of the tensors of an elementwise kernel, which all have the same. Their addresses are those of pixel (0, 0) of
 * image 0. `depth` is the number of channels with padding, a multiple of 4. A vector is an image of one pixel.
 */
export type Grid = readonly [
  imageBytes: number,
  rowBytes: number,
  rows: number,
  columns: number,
  depth: number,
  ...Images,
];
type Target = readonly [target: number, adds: boolean];
/** Images whose pixels are next to one another. */
type Rows = readonly [address: number, imageBytes: number, rowBytes: number];
/** The images that windows cover, the windows' shape, their distances, and the padding before the images. */
type Windows = readonly [
  ...images: Rows,
  height: number,
  width: number,
  windowRows: number,
  windowColumns: number,
  strideRows: number,
  strideColumns: number,
  top: number,
  left: number,
];
/** Images with one pixel for each window. */
type PerWindow = readonly [...images: Rows, rows: number, columns: number, depth: number];
/** Address of the first vector, and bytes from one vector to the next. */
type Vectors = readonly [address: number, vectorBytes: number];
type Groups = readonly [tapCount: number, groups: number, inputsOfGroup: number, outputsOfGroup: number];
type Losses = readonly [logitGradients: number, losses: number, correct: number];

type Kernel<Parameters extends readonly (number | boolean)[]> = (...parameters: Parameters) => void;

export interface Kernels {
  fillImages: Kernel<
    [
      ...records: [records: number, labelBytes: number, colors: number],
      augmentations: number,
      values: number,
      redFirst: boolean,
      target: number,
      height: number,
      width: number,
      ...Images,
    ]
  >;
  centerImages: Kernel<[target: number, means: number, divisors: number, height: number, width: number, ...Images]>;

  packWeights: Kernel<
    [
      ...source: [source: number, taps: number, tapCount: number],
      ...inputs: [inputs: number, depth: number, inputStride: number],
      ...outputs: [outputs: number, outputStride: number],
      target: number,
    ]
  >;
  transformFilters: Kernel<
    [source: number, inputs: number, outputs: number, ...Images, forward: number, turned: number, scratch: number]
  >;

  expandGroups: Kernel<[source: number, ...Groups, target: number, paddedInputs: number, paddedOutputs: number]>;
  collectGroups: Kernel<[source: number, ...Groups, target: number, paddedInputs: number, paddedOutputs: number]>;

  convolve: Kernel<
    [
      ...source: Strides,
      ...Taps,
      weights: number,
      bias: number,
      adds: boolean,
      ...target: Strides,
      outputs: number,
      rows: number,
      pixels: number,
      ...Images,
    ]
  >;
  filterGradient: Kernel<
    [
      ...source: Strides,
      ...Taps,
      ...gradient: Strides,
      outputs: number,
      rows: number,
      pixels: number,
      ...Images,
      ...Sums,
    ]
  >;
  filterGradientEnd: Kernel<
    [
      ...PartialSums,
      partialBytes: number,
      tapCount: number,
      depth: number,
      inputs: number,
      outputs: number,
      target: number,
    ]
  >;
  biasGradient: Kernel<[gradient: number, sums: number, firstChannel: number, channelCount: number, ...Grid]>;

  convolveDepthwise: Kernel<
    [
      ...source: Strides,
      ...Taps,
      weights: number,
      bias: number,
      adds: boolean,
      ...target: Strides,
      rows: number,
      pixels: number,
      ...Images,
    ]
  >;
  depthwiseFilterGradient: Kernel<
    [...source: Strides, ...Taps, ...gradient: Strides, rows: number, pixels: number, ...Images, ...Sums]
  >;

  winogradConvolve: Kernel<
    [
      source: number,
      weights: number,
      bias: number,
      ...Target,
      rows: number,
      columns: number,
      inputs: number,
      outputs: number,
      ...Images,
      scratch: number,
    ]
  >;
  winogradForward: Kernel<[source: number, weights: number, target: number, ...Sums, ...WinogradImages]>;
  winogradInputGradient: Kernel<
    [gradient: number, weights: number, target: number, shortcut: number, ...PrecedingLayer, ...Sums, ...WinogradImages]
  >;
  winogradFilterGradient: Kernel<
    [
      source: number,
      gradient: number,
      ...Sums,
      rows: number,
      columns: number,
      inputs: number,
      outputs: number,
      ...Images,
      scratch: number,
    ]
  >;
  winogradFilterGradientEnd: Kernel<
    [
      ...PartialSums,
      target: number,
      inputs: number,
      outputs: number,
      firstInput: number,
      inputCount: number,
      scratch: number,
    ]
  >;

  statisticSums: Kernel<[source: number, ...Sums, ...Grid]>;
  batchStatistics: Kernel<
    [...PartialSums, elements: number, channels: number, depth: number, ...BatchNorm, statistics: number]
  >;
  movingStatistics: Kernel<[channels: number, depth: number, ...BatchNorm, statistics: number]>;
  normalize: Kernel<[source: number, coefficients: number, shortcut: number, target: number, ...Grid]>;
  maskAndSum: Kernel<[gradient: number, ...PrecedingLayer, ...Sums, ...Grid]>;
  gradientSums: Kernel<[gradient: number, source: number, coefficients: number, ...Sums, ...Grid]>;
  gradientCoefficients: Kernel<
    [
      ...PartialSums,
      elements: number,
      channels: number,
      depth: number,
      coefficients: number,
      gammaGradient: number,
      betaGradient: number,
    ]
  >;
  batchNormGradient: Kernel<[gradient: number, source: number, coefficients: number, ...Target, ...Grid]>;

  copyNarrowed: Kernel<[source: number, sourceSize: number, target: number, ...SizedImages]>;
  addWidened: Kernel<[gradient: number, target: number, targetSize: number, ...SizedImages]>;

  softmaxLoss: Kernel<
    [
      logits: number,
      logitBytes: number,
      classes: number,
      ...records: [records: number, recordBytes: number, labelBytes: number],
      labelSmoothing: number,
      ...Losses,
      ...Images,
    ]
  >;

  globalAverage: Kernel<[source: number, target: number, targetBytes: number, ...Grid]>;
  globalAverageGradient: Kernel<[gradient: number, gradientBytes: number, ...Target, ...Grid]>;
  multiplyVectors: Kernel<
    [
      ...source: Vectors,
      inputs: number,
      kernel: number,
      rowValues: number,
      bias: number,
      ...target: Vectors,
      outputs: number,
      adds: boolean,
      ...Images,
    ]
  >;
  vectorProducts: Kernel<
    [
      ...source: Vectors,
      firstInput: number,
      inputCount: number,
      ...gradient: Vectors,
      outputs: number,
      images: number,
      target: number,
      scratch: number,
    ]
  >;
  sumVectors: Kernel<[...gradient: Vectors, outputs: number, images: number, target: number]>;
  transposeKernel: Kernel<[source: number, inputs: number, outputs: number, target: number, rowValues: number]>;

  activate: Kernel<[activation: number, source: number, target: number, channels: number, ...Grid]>;
  activateGradient: Kernel<
    [activation: number, gradient: number, source: number, target: number, adds: boolean, ...Grid]
  >;

  addTensors: Kernel<[a: number, b: number, target: number, ...Grid]>;
  multiplyTensors: Kernel<[a: number, b: number, ...Target, ...Grid]>;
  multiplyChannels: Kernel<[source: number, factors: number, factorBytes: number, ...Target, ...Grid]>;
  sumProductsOfChannels: Kernel<[a: number, b: number, target: number, targetBytes: number, adds: boolean, ...Grid]>;
  scaleChannels: Kernel<[source: number, factors: number, offsets: number, target: number, ...Grid]>;
  fillZeros: Kernel<[target: number, ...Grid]>;
  copyChannels: Kernel<
    [...source: Strides, ...target: Strides, adds: boolean, rows: number, columns: number, channels: number, ...Images]
  >;
  padWeights: Kernel<
    [
      source: number,
      blocks: number,
      rows: number,
      columns: number,
      target: number,
      paddedRows: number,
      paddedColumns: number,
    ]
  >;
  addPartialSums: Kernel<
    [
      ...PartialSums,
      partialBytes: number,
      blocks: number,
      rows: number,
      columns: number,
      target: number,
      paddedRows: number,
      paddedColumns: number,
    ]
  >;

  maxPool: Kernel<[...source: Windows, ...target: PerWindow, ...Images]>;
  maxPoolGradient: Kernel<[...source: Windows, ...gradient: PerWindow, ...Target, ...Images]>;
  averagePool: Kernel<[...source: Windows, ...target: PerWindow, ...Images]>;
  averagePoolGradient: Kernel<[...target: Windows, ...gradient: PerWindow, adds: boolean, ...Images]>;

  exponential(x: number): number;
  logarithm(x: number): number;
}

/** Instantiates the kernels with this memory. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const abort = () => {
    throw new Error('a wasm kernel aborted');
  };
  return new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as Kernels;
}
