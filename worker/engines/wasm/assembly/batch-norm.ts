// Batch norm and ReLU, forward and backward. Partial sums, each over some of the images, are float32; they are added up
// in float64. The coefficients of a batch norm are six rows of one value per channel: mean, 1 / standard deviation,
// scale and shift for the forward pass, then factor and addend for the backward pass (see normalizeGradient).
import {
  maskChannels16,
  maskChannels4,
  addNormalizedGradientRow4,
  normalizeGradientRow4,
  normalizeGradientRow8,
  normalizeRow16,
  normalizeRow4,
  normalizeRowWithShortcut16,
  normalizeRowWithShortcut4,
  sumChannels16,
  sumChannels4,
  sumGradients16,
  sumGradients4,
} from './unrolled';

/**
 * Sums the values of each channel and their squares.
 * @param source address of pixel (0, 0) of image 0
 * @param sums two rows of one value per channel: the sums of the values, then the sums of their squares
 * @param continues true to add to the existing sums, false to overwrite them
 */
export function statisticSums(
  source: usize,
  sums: usize,
  continues: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  const gap = rowBytes - columns * pixelBytes;
  if (!continues) memory.fill(sums, 0, 2 * pixelBytes);
  for (let image = first; image < first + count; image++) {
    const from = source + image * imageBytes;
    let at = 0;
    for (; at + 64 <= pixelBytes; at += 64) sumChannels16(from + at, sums + at, pixelBytes, rows, columns, gap);
    for (; at < pixelBytes; at += 16) sumChannels4(from + at, sums + at, pixelBytes, rows, columns, gap);
  }
}

function setForward(
  coefficients: usize,
  depth: i32,
  channel: i32,
  mean: f64,
  inverse: f64,
  gammas: usize,
  betas: usize,
): void {
  const at = coefficients + 4 * channel;
  const row = 4 * depth;
  const gamma: f32 = gammas ? load<f32>(gammas + 4 * channel) : 1;
  const beta: f32 = betas ? load<f32>(betas + 4 * channel) : 0;
  store<f32>(at, <f32>mean);
  store<f32>(at + row, <f32>inverse);
  store<f32>(at + 2 * row, <f32>(inverse * gamma));
  store<f32>(at + 3 * row, <f32>(beta - mean * inverse * gamma));
}

/** Sets the coefficients of the padding channels to 0, so that these channels stay 0. */
function clearPadding(coefficients: usize, firstRow: i32, endRow: i32, channels: i32, depth: i32): void {
  for (let row = firstRow; row < endRow; row++) {
    memory.fill(coefficients + 4 * (row * depth + channels), 0, 4 * (depth - channels));
  }
}

/**
 * Computes the forward coefficients and the reported statistics from partial sums.
 * @param partialSums the output of statisticSums for each part: two rows of `depth` values
 * @param elements number of values per channel
 * @param depth number of channels with padding; also the length of a row of coefficients
 * @param gamma 0, or the address of one factor per channel
 * @param beta 0, or the address of one offset per channel
 * @param bias 0, or the address of the convolution's bias. Batch norm cancels the bias, so the convolution omitted it;
 *   the reported mean includes it.
 * @param statistics receives a row of means and a row of biased variances
 */
export function batchStatistics(
  partialSums: usize,
  partialCount: i32,
  elements: i32,
  channels: i32,
  depth: i32,
  gamma: usize,
  beta: usize,
  bias: usize,
  epsilon: f64,
  coefficients: usize,
  statistics: usize,
): void {
  const row = 4 * depth;
  for (let channel = 0; channel < channels; channel++) {
    const at = 4 * channel;
    let sum: f64 = 0;
    let squares: f64 = 0;
    for (let partial = 0; partial < partialCount; partial++) {
      sum += load<f32>(partialSums + 2 * partial * row + at);
      squares += load<f32>(partialSums + (2 * partial + 1) * row + at);
    }
    const mean = sum / elements;
    const variance = max<f64>(squares / elements - mean * mean, 0);
    setForward(coefficients, depth, channel, mean, 1 / sqrt(variance + epsilon), gamma, beta);
    store<f32>(statistics + at, <f32>(bias ? mean + load<f32>(bias + at) : mean));
    store<f32>(statistics + 4 * channels + at, <f32>variance);
  }
  clearPadding(coefficients, 0, 4, channels, depth);
}

/**
 * Computes the forward coefficients for an evaluation from the moving statistics. The convolution omitted its bias, but
 * the moving mean includes it, so the bias is subtracted from the mean.
 */
export function movingStatistics(
  channels: i32,
  depth: i32,
  gamma: usize,
  beta: usize,
  bias: usize,
  epsilon: f64,
  coefficients: usize,
  statistics: usize,
): void {
  for (let channel = 0; channel < channels; channel++) {
    const at = 4 * channel;
    let mean: f64 = load<f32>(statistics + at);
    if (bias) mean -= load<f32>(bias + at);
    const variance: f64 = load<f32>(statistics + 4 * channels + at);
    setForward(coefficients, depth, channel, mean, 1 / sqrt(variance + epsilon), gamma, beta);
  }
  clearPadding(coefficients, 0, 4, channels, depth);
}

/**
 * target = ReLU(source × scale + shift + shortcut). The addresses are those of pixel (0, 0) of image 0.
 * @param shortcut 0, or the address of a tensor of the same shape
 */
export function normalize(
  source: usize,
  coefficients: usize,
  shortcut: usize,
  target: usize,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  const scales = coefficients + 2 * pixelBytes;
  const shifts = coefficients + 3 * pixelBytes;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < rows; y++) {
      const row = image * imageBytes + y * rowBytes;
      let at = 0;
      for (; at + 64 <= pixelBytes; at += 64) {
        const from = source + row + at;
        const to = target + row + at;
        if (shortcut) {
          normalizeRowWithShortcut16(from, shortcut + row + at, to, scales + at, shifts + at, pixelBytes, columns);
        } else {
          normalizeRow16(from, to, scales + at, shifts + at, pixelBytes, columns);
        }
      }
      for (; at < pixelBytes; at += 16) {
        const from = source + row + at;
        const to = target + row + at;
        if (shortcut) {
          normalizeRowWithShortcut4(from, shortcut + row + at, to, scales + at, shifts + at, pixelBytes, columns);
        } else {
          normalizeRow4(from, to, scales + at, shifts + at, pixelBytes, columns);
        }
      }
    }
  }
}

/**
 * Sets the gradient to 0 where the activation is not positive, and computes two rows of sums per channel: of the
 * gradient, and of gradient × (source - mean), where source is the input of the batch norm. The addresses are those of
 * pixel (0, 0) of image 0.
 * @param continues true to add to the existing sums, false to overwrite them
 */
export function maskAndSum(
  gradient: usize,
  activation: usize,
  source: usize,
  coefficients: usize,
  sums: usize,
  continues: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  const gap = rowBytes - columns * pixelBytes;
  if (!continues) memory.fill(sums, 0, 2 * pixelBytes);
  for (let image = first; image < first + count; image++) {
    let at = image * imageBytes;
    let offset = 0;
    for (; offset + 64 <= pixelBytes; offset += 64, at += 64) {
      maskChannels16(
        gradient + at,
        activation + at,
        source + at,
        coefficients + offset,
        sums + offset,
        pixelBytes,
        rows,
        columns,
        gap,
      );
    }
    for (; offset < pixelBytes; offset += 16, at += 16) {
      maskChannels4(
        gradient + at,
        activation + at,
        source + at,
        coefficients + offset,
        sums + offset,
        pixelBytes,
        rows,
        columns,
        gap,
      );
    }
  }
}

/**
 * Computes two rows of sums per channel for the backward pass of a batch norm without ReLU: of the gradient, and of
 * gradient × (source - mean), where source is the input of the batch norm.
 * @param coefficients the means, or the coefficients, which begin with them
 * @param continues true to add to the existing sums, false to overwrite them
 */
export function gradientSums(
  gradient: usize,
  source: usize,
  coefficients: usize,
  sums: usize,
  continues: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  const gap = rowBytes - columns * pixelBytes;
  if (!continues) memory.fill(sums, 0, 2 * pixelBytes);
  for (let image = first; image < first + count; image++) {
    const from = gradient + image * imageBytes;
    const other = source + image * imageBytes;
    let at = 0;
    for (; at + 64 <= pixelBytes; at += 64) {
      sumGradients16(from + at, other + at, coefficients + at, sums + at, pixelBytes, rows, columns, gap);
    }
    for (; at < pixelBytes; at += 16) {
      sumGradients4(from + at, other + at, coefficients + at, sums + at, pixelBytes, rows, columns, gap);
    }
  }
}

/**
 * Computes the gradients of gamma and beta and the backward coefficients from partial sums.
 * @param gammaGradient 0, or where to store the gradient of gamma
 * @param betaGradient 0, or where to store the gradient of beta
 */
export function gradientCoefficients(
  partialSums: usize,
  partialCount: i32,
  elements: i32,
  channels: i32,
  depth: i32,
  coefficients: usize,
  gammaGradient: usize,
  betaGradient: usize,
): void {
  const row = 4 * depth;
  for (let channel = 0; channel < channels; channel++) {
    const at = 4 * channel;
    let sum: f64 = 0;
    let products: f64 = 0;
    for (let partial = 0; partial < partialCount; partial++) {
      sum += load<f32>(partialSums + 2 * partial * row + at);
      products += load<f32>(partialSums + (2 * partial + 1) * row + at);
    }
    const mean: f64 = load<f32>(coefficients + at);
    const inverse: f64 = load<f32>(coefficients + row + at);
    const scale: f64 = load<f32>(coefficients + 2 * row + at);
    if (betaGradient) store<f32>(betaGradient + at, <f32>sum);
    if (gammaGradient) store<f32>(gammaGradient + at, <f32>(products * inverse));
    const factor = (-scale * inverse * inverse * products) / elements;
    store<f32>(coefficients + 4 * row + at, <f32>factor);
    store<f32>(coefficients + 5 * row + at, <f32>((-scale * sum) / elements - factor * mean));
  }
  clearPadding(coefficients, 4, 6, channels, depth);
}

/**
 * Gradient with respect to the input of a batch norm without ReLU: target = gradient × scale + source × factor + addend.
 * The addresses are those of pixel (0, 0) of image 0.
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function batchNormGradient(
  gradient: usize,
  source: usize,
  coefficients: usize,
  target: usize,
  adds: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  const scales = coefficients + 2 * pixelBytes;
  const factors = coefficients + 4 * pixelBytes;
  const addends = coefficients + 5 * pixelBytes;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < rows; y++) {
      const row = image * imageBytes + y * rowBytes;
      let at = 0;
      for (; at + 32 <= pixelBytes && !adds; at += 32) {
        const from = gradient + row + at;
        const other = source + row + at;
        const to = target + row + at;
        normalizeGradientRow8(from, other, to, scales + at, factors + at, addends + at, pixelBytes, columns);
      }
      for (; at < pixelBytes; at += 16) {
        const from = gradient + row + at;
        const other = source + row + at;
        const to = target + row + at;
        if (adds)
          addNormalizedGradientRow4(from, other, to, scales + at, factors + at, addends + at, pixelBytes, columns);
        else normalizeGradientRow4(from, other, to, scales + at, factors + at, addends + at, pixelBytes, columns);
      }
    }
  }
}
