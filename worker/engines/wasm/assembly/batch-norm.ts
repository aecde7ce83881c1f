// Batch norm and ReLU, forward and backward. Partial sums, each over some of the images, are float32; they are added up
// in float64. The coefficients of a batch norm are six rows of one value per channel: mean, 1 / standard deviation,
// scale and shift for the forward pass, then factor and addend for the backward pass (see normalizeGradient).
import { imageAt, rowBytesOf } from './tensor';
import {
  maskChannels16,
  maskChannels4,
  normalizeGradientRow4,
  normalizeGradientRow8,
  normalizeRow16,
  normalizeRow4,
  normalizeRowWithShortcut16,
  normalizeRowWithShortcut4,
  sumChannels16,
  sumChannels4,
} from './unrolled';

/**
 * Sums the values of each channel and their squares.
 * @param sums two rows of one value per channel: the sums of the values, then the sums of their squares
 * @param continues true to add to the existing sums, false to overwrite them
 */
export function sumForStatistics(
  source: usize,
  sums: usize,
  continues: bool,
  size: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * channels;
  if (!continues) memory.fill(sums, 0, 2 * pixelBytes);
  for (let image = first; image < first + count; image++) {
    let at = imageAt(source, image, size, channels);
    let to = sums;
    let channel = 0;
    for (; channel + 16 <= channels; channel += 16, at += 64, to += 64) sumChannels16(at, to, pixelBytes, size);
    for (; channel < channels; channel += 4, at += 16, to += 16) sumChannels4(at, to, pixelBytes, size);
  }
}

function setForward(
  coefficients: usize,
  channels: i32,
  channel: i32,
  mean: f64,
  inverse: f64,
  gamma: f32,
  beta: f32,
): void {
  const at = coefficients + 4 * channel;
  const row = 4 * channels;
  store<f32>(at, <f32>mean);
  store<f32>(at + row, <f32>inverse);
  store<f32>(at + 2 * row, <f32>(inverse * gamma));
  store<f32>(at + 3 * row, <f32>(beta - mean * inverse * gamma));
}

/**
 * Computes the forward coefficients and the reported statistics from partial sums.
 * @param partialSums the output of sumForStatistics for each part: two rows of one value per channel
 * @param elements number of values per channel
 * @param bias 0, or the address of the convolution's bias. Batch norm cancels the bias, so the convolution omitted it;
 *   the reported mean includes it.
 * @param statistics receives a row of means and a row of biased variances
 */
export function batchStatistics(
  partialSums: usize,
  partialCount: i32,
  elements: i32,
  channels: i32,
  gamma: usize,
  beta: usize,
  bias: usize,
  epsilon: f64,
  coefficients: usize,
  statistics: usize,
): void {
  const row = 4 * channels;
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
    setForward(
      coefficients,
      channels,
      channel,
      mean,
      1 / sqrt(variance + epsilon),
      load<f32>(gamma + at),
      load<f32>(beta + at),
    );
    store<f32>(statistics + at, <f32>(bias ? mean + load<f32>(bias + at) : mean));
    store<f32>(statistics + row + at, <f32>variance);
  }
}

/**
 * Computes the forward coefficients for an evaluation from the moving statistics. The convolution omitted its bias, but
 * the moving mean includes it, so the bias is subtracted from the mean.
 */
export function movingStatistics(
  channels: i32,
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
    setForward(
      coefficients,
      channels,
      channel,
      mean,
      1 / sqrt(variance + epsilon),
      load<f32>(gamma + at),
      load<f32>(beta + at),
    );
  }
}

/** target = ReLU(source × scale + shift + shortcut). @param shortcut 0, or the address of a tensor of the same shape */
export function normalize(
  source: usize,
  coefficients: usize,
  shortcut: usize,
  target: usize,
  size: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * channels;
  const scales = coefficients + 2 * pixelBytes;
  const shifts = coefficients + 3 * pixelBytes;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < size; y++) {
      const row = imageAt(0, image, size, channels) + y * rowBytesOf(size, channels);
      let at = 0;
      for (; at + 64 <= pixelBytes; at += 64) {
        const from = source + row + at;
        const to = target + row + at;
        if (shortcut) {
          normalizeRowWithShortcut16(from, shortcut + row + at, to, scales + at, shifts + at, pixelBytes, size);
        } else {
          normalizeRow16(from, to, scales + at, shifts + at, pixelBytes, size);
        }
      }
      for (; at < pixelBytes; at += 16) {
        const from = source + row + at;
        const to = target + row + at;
        if (shortcut) {
          normalizeRowWithShortcut4(from, shortcut + row + at, to, scales + at, shifts + at, pixelBytes, size);
        } else {
          normalizeRow4(from, to, scales + at, shifts + at, pixelBytes, size);
        }
      }
    }
  }
}

/**
 * Sets the gradient to 0 where the activation is not positive, and computes two rows of sums per channel: of the
 * gradient, and of gradient × (source - mean), where source is the input of the batch norm.
 * @param continues true to add to the existing sums, false to overwrite them
 */
export function maskAndSum(
  gradient: usize,
  activation: usize,
  source: usize,
  coefficients: usize,
  sums: usize,
  continues: bool,
  size: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * channels;
  if (!continues) memory.fill(sums, 0, 2 * pixelBytes);
  for (let image = first; image < first + count; image++) {
    let at = imageAt(0, image, size, channels);
    let offset = 0;
    for (; offset + 64 <= pixelBytes; offset += 64, at += 64) {
      maskChannels16(
        gradient + at,
        activation + at,
        source + at,
        coefficients + offset,
        sums + offset,
        pixelBytes,
        size,
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
        size,
      );
    }
  }
}

/** Computes the gradients of gamma and beta and the backward coefficients from partial sums. */
export function gradientCoefficients(
  partialSums: usize,
  partialCount: i32,
  elements: i32,
  channels: i32,
  coefficients: usize,
  gammaGradient: usize,
  betaGradient: usize,
): void {
  const row = 4 * channels;
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
    store<f32>(betaGradient + at, <f32>sum);
    store<f32>(gammaGradient + at, <f32>(products * inverse));
    const factor = (-scale * inverse * inverse * products) / elements;
    store<f32>(coefficients + 4 * row + at, <f32>factor);
    store<f32>(coefficients + 5 * row + at, <f32>((-scale * sum) / elements - factor * mean));
  }
}

/** Gradient with respect to the input of the batch norm: target = gradient × scale + source × factor + addend. */
export function normalizeGradient(
  gradient: usize,
  source: usize,
  coefficients: usize,
  target: usize,
  size: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * channels;
  const scales = coefficients + 2 * pixelBytes;
  const factors = coefficients + 4 * pixelBytes;
  const addends = coefficients + 5 * pixelBytes;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < size; y++) {
      const row = imageAt(0, image, size, channels) + y * rowBytesOf(size, channels);
      let at = 0;
      for (; at + 32 <= pixelBytes; at += 32) {
        const from = gradient + row + at;
        const other = source + row + at;
        const to = target + row + at;
        normalizeGradientRow8(from, other, to, scales + at, factors + at, addends + at, pixelBytes, size);
      }
      if (at < pixelBytes) {
        const from = gradient + row + at;
        const other = source + row + at;
        const to = target + row + at;
        normalizeGradientRow4(from, other, to, scales + at, factors + at, addends + at, pixelBytes, size);
      }
    }
  }
}
