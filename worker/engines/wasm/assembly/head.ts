// Global average pooling, the dense layer, softmax cross-entropy, and their gradients.
import { exponential, logarithm } from './arithmetic';
import { imageAt, rowBytesOf } from './tensor';

/** Averages each channel over the pixels of an image. @param pooled receives one value per image and channel */
export function pool(source: usize, pooled: usize, size: i32, channels: i32, first: i32, count: i32): void {
  const share = f32x4.splat(<f32>(1.0 / <f32>(size * size)));
  for (let image = first; image < first + count; image++) {
    for (let channel = 0; channel < channels; channel += 4) {
      let sum = f32x4.splat(0);
      for (let y = 0; y < size; y++) {
        let at = imageAt(source, image, size, channels) + y * rowBytesOf(size, channels) + 4 * channel;
        let rowSum = f32x4.splat(0);
        for (let x = 0; x < size; x++) {
          rowSum = f32x4.add(rowSum, v128.load(at));
          at += 4 * channels;
        }
        sum = f32x4.add(sum, rowSum);
      }
      v128.store(pooled + 4 * (image * channels + channel), f32x4.mul(sum, share));
    }
  }
}

/**
 * Computes the logits, softmax and loss of each image.
 * @param records one record per image, which begins with the label
 * @param labelBytes size of a label: 1, or 2 (little-endian)
 * @param labelSmoothing fraction of each label that is spread evenly over all classes
 * @param logitGradients receives (softmax - smoothed label), one value per image and class
 * @param losses receives one float64 per image
 * @param correct receives an i32 per image: 1 if the logit of the label is the largest (the first one in a tie), else 0
 */
export function classify(
  pooled: usize,
  channels: i32,
  classes: i32,
  kernel: usize,
  bias: usize,
  records: usize,
  recordBytes: i32,
  labelBytes: i32,
  labelSmoothing: f64,
  logitGradients: usize,
  losses: usize,
  correct: usize,
  first: i32,
  count: i32,
): void {
  for (let image = first; image < first + count; image++) {
    const logits = logitGradients + 4 * classes * image;
    const label = labelOf(records + image * recordBytes, labelBytes);
    memory.copy(logits, bias, 4 * classes);
    for (let channel = 0; channel < channels; channel++) {
      const value = load<f32>(pooled + 4 * (image * channels + channel));
      const row = kernel + 4 * channel * classes;
      for (let c = 0; c < classes; c++) {
        const at = logits + 4 * c;
        store<f32>(at, load<f32>(at) + value * load<f32>(row + 4 * c));
      }
    }
    lossOfImage(logits, classes, label, labelSmoothing, logits, losses + 8 * image, correct + 4 * image);
  }
}

/**
 * Computes the loss, the correct flag and the gradients of an image from its logits. See classify.
 * @param gradients may be the address of the logits
 */
function lossOfImage(
  logits: usize,
  classes: i32,
  label: i32,
  labelSmoothing: f64,
  gradients: usize,
  loss: usize,
  correct: usize,
): void {
  const ofLabel = load<f32>(logits + 4 * label);
  let largest = ofLabel;
  let isLargest = ofLabel == ofLabel; // false for NaN
  for (let c = 0; c < classes; c++) {
    const logit = load<f32>(logits + 4 * c);
    if (logit > ofLabel || (logit == ofLabel && c < label)) isLargest = false;
    if (logit > largest) largest = logit;
  }
  let sum: f64 = 0;
  for (let c = 0; c < classes; c++) sum += exponential(<f64>load<f32>(logits + 4 * c) - <f64>largest);
  // Without smoothing this multiplies by 1, which does not change the value.
  let expected = (1 - labelSmoothing) * (<f64>ofLabel - <f64>largest);
  const spread = labelSmoothing / <f64>classes;
  if (labelSmoothing > 0) {
    for (let c = 0; c < classes; c++) expected += spread * (<f64>load<f32>(logits + 4 * c) - <f64>largest);
  }
  store<f64>(loss, logarithm(sum) - expected);
  store<i32>(correct, isLargest ? 1 : 0);
  for (let c = 0; c < classes; c++) {
    const probability = exponential(<f64>load<f32>(logits + 4 * c) - <f64>largest) / sum;
    store<f32>(gradients + 4 * c, <f32>(probability - spread - (c == label ? 1 - labelSmoothing : 0)));
  }
}

/**
 * Computes softmax and loss of each image from its logits. See classify for the other parameters.
 * @param logitBytes number of bytes from the logits of one image to those of the next, and the same for their gradients;
 *   values after the last class stay unchanged
 * @param logitGradients may be the address of the logits
 */
export function softmaxLoss(
  logits: usize,
  logitBytes: i32,
  classes: i32,
  records: usize,
  recordBytes: i32,
  labelBytes: i32,
  labelSmoothing: f64,
  logitGradients: usize,
  losses: usize,
  correct: usize,
  first: i32,
  count: i32,
): void {
  for (let image = first; image < first + count; image++) {
    const label = labelOf(records + image * recordBytes, labelBytes);
    const at = image * logitBytes;
    lossOfImage(
      logits + at,
      classes,
      label,
      labelSmoothing,
      logitGradients + at,
      losses + 8 * image,
      correct + 4 * image,
    );
  }
}

function labelOf(record: usize, labelBytes: i32): i32 {
  return labelBytes == 1 ? <i32>load<u8>(record) : <i32>load<u16>(record);
}

/**
 * Backward pass from the logits through the dense layer and the pooling: computes the gradient of each pooled value and
 * spreads it evenly over the pixels of its image.
 */
export function spreadPoolGradient(
  logitGradients: usize,
  classes: i32,
  kernel: usize,
  gradient: usize,
  size: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const share = <f32>(1.0 / <f32>(size * size));
  for (let image = first; image < first + count; image++) {
    const pixels = imageAt(gradient, image, size, channels);
    for (let channel = 0; channel < channels; channel++) {
      let sum: f32 = 0;
      for (let c = 0; c < classes; c++) {
        sum += load<f32>(logitGradients + 4 * (image * classes + c)) * load<f32>(kernel + 4 * (channel * classes + c));
      }
      store<f32>(pixels + 4 * channel, sum * share);
    }
    for (let y = 0; y < size; y++) {
      const row = pixels + y * rowBytesOf(size, channels);
      for (let x = y == 0 ? 1 : 0; x < size; x++) memory.copy(row + 4 * x * channels, pixels, 4 * channels);
    }
  }
}

/** Computes the gradients of the dense layer's weights, summed over all images in order. */
export function denseGradient(
  pooled: usize,
  logitGradients: usize,
  channels: i32,
  classes: i32,
  count: i32,
  kernelGradient: usize,
  biasGradient: usize,
): void {
  memory.fill(kernelGradient, 0, 4 * channels * classes);
  memory.fill(biasGradient, 0, 4 * classes);
  for (let image = 0; image < count; image++) {
    const gradients = logitGradients + 4 * classes * image;
    for (let c = 0; c < classes; c++) {
      store<f32>(biasGradient + 4 * c, load<f32>(biasGradient + 4 * c) + load<f32>(gradients + 4 * c));
    }
    for (let channel = 0; channel < channels; channel++) {
      const value = load<f32>(pooled + 4 * (image * channels + channel));
      for (let c = 0; c < classes; c++) {
        const at = kernelGradient + 4 * (channel * classes + c);
        store<f32>(at, load<f32>(at) + value * load<f32>(gradients + 4 * c));
      }
    }
  }
}
