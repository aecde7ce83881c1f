// The interface of the compiled kernels, which are documented in assembly/. Addresses and sizes in bytes are plain
// numbers; a tensor is given by its address, its size (height and width) and its channels.

/** A range of images in a tensor. */
export type Images = readonly [first: number, count: number];

/** How a convolution traverses a tensor: its first address in image 0, and bytes to the next image, row and pixel. */
export type Strides = readonly [address: number, imageBytes: number, rowBytes: number, pixelBytes: number];

export interface Kernels {
  fillImages(records: number, augmentations: number, values: number, target: number, ...images: Images): void;
  centreImages(target: number, means: number, divisors: number, ...images: Images): void;

  packWeights(
    source: number,
    taps: number,
    tapCount: number,
    inputs: number,
    depth: number,
    inputStride: number,
    outputs: number,
    outputStride: number,
    target: number,
  ): void;
  transformFilters(
    source: number,
    channels: number,
    firstInput: number,
    inputCount: number,
    forward: number,
    turned: number,
    scratch: number,
  ): void;

  convolve(
    ...parameters: [
      ...source: Strides,
      depth: number,
      taps: number,
      tapCount: number,
      weights: number,
      bias: number,
      adds: boolean,
      ...target: Strides,
      outputs: number,
      size: number,
      ...images: Images,
    ]
  ): void;
  filterGradient(
    ...parameters: [
      ...source: Strides,
      depth: number,
      taps: number,
      tapCount: number,
      gradient: number,
      outputs: number,
      size: number,
      ...images: Images,
      sums: number,
      continues: boolean,
    ]
  ): void;
  filterGradientEnd(
    partialSums: number,
    partialCount: number,
    tapCount: number,
    depth: number,
    inputs: number,
    outputs: number,
    target: number,
  ): void;
  biasGradient(gradient: number, sums: number, channels: number, size: number, ...images: Images): void;

  winogradForward(
    ...parameters: [
      source: number,
      weights: number,
      target: number,
      sums: number,
      continues: boolean,
      size: number,
      channels: number,
      ...images: Images,
      scratch: number,
    ]
  ): void;
  winogradInputGradient(
    ...parameters: [
      gradient: number,
      weights: number,
      target: number,
      shortcut: number,
      activation: number,
      normalized: number,
      means: number,
      sums: number,
      continues: boolean,
      size: number,
      channels: number,
      ...images: Images,
      scratch: number,
    ]
  ): void;
  winogradFilterGradient(
    ...parameters: [
      source: number,
      gradient: number,
      sums: number,
      continues: boolean,
      size: number,
      channels: number,
      ...images: Images,
      scratch: number,
    ]
  ): void;
  winogradFilterGradientEnd(
    partialSums: number,
    partialCount: number,
    target: number,
    channels: number,
    firstInput: number,
    inputCount: number,
    scratch: number,
  ): void;

  sumForStatistics(
    source: number,
    sums: number,
    continues: boolean,
    size: number,
    channels: number,
    ...images: Images
  ): void;
  batchStatistics(
    partialSums: number,
    partialCount: number,
    elements: number,
    channels: number,
    gamma: number,
    beta: number,
    bias: number,
    epsilon: number,
    coefficients: number,
    statistics: number,
  ): void;
  movingStatistics(
    channels: number,
    gamma: number,
    beta: number,
    bias: number,
    epsilon: number,
    coefficients: number,
    statistics: number,
  ): void;
  normalize(
    source: number,
    coefficients: number,
    shortcut: number,
    target: number,
    size: number,
    channels: number,
    ...images: Images
  ): void;
  maskAndSum(
    gradient: number,
    activation: number,
    source: number,
    coefficients: number,
    sums: number,
    continues: boolean,
    size: number,
    channels: number,
    ...images: Images
  ): void;
  gradientCoefficients(
    partialSums: number,
    partialCount: number,
    elements: number,
    channels: number,
    coefficients: number,
    gammaGradient: number,
    betaGradient: number,
  ): void;
  normalizeGradient(
    gradient: number,
    source: number,
    coefficients: number,
    target: number,
    size: number,
    channels: number,
    ...images: Images
  ): void;

  copyNarrowed(source: number, target: number, size: number, channels: number, ...images: Images): void;
  addWidened(gradient: number, target: number, size: number, channels: number, ...images: Images): void;

  pool(source: number, pooled: number, size: number, channels: number, ...images: Images): void;
  classify(
    pooled: number,
    channels: number,
    kernel: number,
    bias: number,
    records: number,
    labelSmoothing: number,
    logitGradients: number,
    losses: number,
    correct: number,
    ...images: Images
  ): void;
  spreadPoolGradient(
    logitGradients: number,
    kernel: number,
    gradient: number,
    size: number,
    channels: number,
    ...images: Images
  ): void;
  denseGradient(
    pooled: number,
    logitGradients: number,
    channels: number,
    count: number,
    kernelGradient: number,
    biasGradient: number,
  ): void;

  exponential(x: number): number;
  logarithm(x: number): number;
}

/** Instantiates the kernels on this memory. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const abort = () => {
    throw new Error('a wasm kernel aborted');
  };
  return new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as Kernels;
}
