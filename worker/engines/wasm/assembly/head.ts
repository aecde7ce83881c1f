// Global average pooling, softmax cross-entropy, and their gradients.
import { exponential, logarithm } from './arithmetic';

/**
 * Averages each channel over the pixels of an image.
 * @param source address of pixel (0, 0) of image 0
 * @param target receives a vector for each image
 */
export function globalAverage(
  source: usize,
  target: usize,
  targetBytes: i32,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const share = f32x4.splat(<f32>(1.0 / <f32>(rows * columns)));
  for (let image = first; image < first + count; image++) {
    for (let channel = 0; channel < depth; channel += 4) {
      let sum = f32x4.splat(0);
      for (let y = 0; y < rows; y++) {
        let at = source + image * imageBytes + y * rowBytes + 4 * channel;
        let rowSum = f32x4.splat(0);
        for (let x = 0; x < columns; x++) {
          rowSum = f32x4.add(rowSum, v128.load(at));
          at += 4 * depth;
        }
        sum = f32x4.add(sum, rowSum);
      }
      v128.store(target + image * targetBytes + 4 * channel, f32x4.mul(sum, share));
    }
  }
}

/**
 * Backward pass of globalAverage: spreads the gradient of each average evenly over the pixels of its image.
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function globalAverageGradient(
  gradient: usize,
  gradientBytes: i32,
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
  const share = f32x4.splat(<f32>(1.0 / <f32>(rows * columns)));
  for (let image = first; image < first + count; image++) {
    for (let channel = 0; channel < depth; channel += 4) {
      const value = f32x4.mul(v128.load(gradient + image * gradientBytes + 4 * channel), share);
      for (let y = 0; y < rows; y++) {
        let at = target + image * imageBytes + y * rowBytes + 4 * channel;
        for (let x = 0; x < columns; x++) {
          v128.store(at, adds ? f32x4.add(v128.load(at), value) : value);
          at += 4 * depth;
        }
      }
    }
  }
}

/**
 * Computes the loss, the correct flag and the gradients of an image from its logits.  * @param gradients may be the address of the logits
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
 * Computes softmax and loss of each image from its logits.
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
