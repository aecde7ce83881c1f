// The kernels. A tensor holds float32 images, each with size + 2 rows of size + 2 pixels: a border of zeros, one pixel
// wide, surrounds every image, so that kernels need not check for its edges. `first` and `count` give a range of
// images. Sizes and channels are multiples of 4.
export { fillImages, centerImages } from './images';
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
