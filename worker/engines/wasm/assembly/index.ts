// The kernels. A tensor holds float32 images, each with size + 2 rows of size + 2 pixels: every image has a one-pixel
// border of zeros, so kernels need not check for the edges. Kernels that take strides, or bytes per image and row, work
// with any border, height and width, and with vectors, which are images of one pixel. `first` and `count` select a range
// of images. Channel counts are multiples of 4; kernels that take both `channels` and `depth` pad `channels` to `depth`.
// The fused Winograd kernels also need sizes that are multiples of 4.
export { activate, activateGradient } from './activations';
export { fillImages, centerImages } from './images';
export { packWeights, transformFilters, expandGroups, collectGroups } from './weights';
export { convolve, filterGradient, filterGradientEnd, biasGradient } from './direct-convolution';
export {
  winogradConvolve,
  winogradForward,
  winogradInputGradient,
  winogradFilterGradient,
  winogradFilterGradientEnd,
} from './winograd';
export {
  statisticSums,
  batchStatistics,
  movingStatistics,
  normalize,
  maskAndSum,
  gradientSums,
  gradientCoefficients,
  batchNormGradient,
} from './batch-norm';
export { copyNarrowed, addWidened } from './shortcut';
export { globalAverage, globalAverageGradient, softmaxLoss } from './head';
export { convolveDepthwise, depthwiseFilterGradient } from './depthwise';
export {
  addTensors,
  multiplyTensors,
  multiplyChannels,
  sumProductsOfChannels,
  scaleChannels,
  fillZeros,
  copyChannels,
  padWeights,
  addPartialSums,
} from './elementwise';
export { maxPool, maxPoolGradient, averagePool, averagePoolGradient } from './pooling';
export { exponential, logarithm } from './arithmetic';
export { multiplyVectors, vectorProducts, sumVectors, transposeKernel } from './dense';
