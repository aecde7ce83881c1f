// The kernels. A tensor is images one after the other, each size + 2 rows of size + 2 pixels of its channels, float32:
// a border of zeros, one pixel wide, surrounds every image, so that no kernel has to ask where an image ends.
// `first` and `count` say which images. Sizes and channels are multiples of 4.
export { fillImages, centreImages } from './images';
export { packWeights, transformFilters } from './weights';
export { convolve, filterGradient, filterGradientEnd, biasGradient } from './direct-convolution';
export { winogradForward, winogradInputGradient, winogradFilterGradient, winogradFilterGradientEnd } from './winograd';
export {
  sumForStatistics,
  batchStatistics,
  movingStatistics,
  normalize,
  maskAndSum,
  gradientCoefficients,
  normalizeGradient,
} from './batch-norm';
export { copyNarrowed, addWidened } from './shortcut';
export { pool, classify, spreadPoolGradient, denseGradient } from './head';
export { exponential, logarithm } from './arithmetic';
