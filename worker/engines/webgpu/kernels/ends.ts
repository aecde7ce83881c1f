// The first and the last kernel of a step: images from records, and the loss.
import type { RecordFormat } from '../../../../shared/dataset/record-format.js';
import { Extent, type Region, type Resource } from '../memory/resources.js';
import { Kernel } from '../wgsl/kernel.js';
import { floatOf } from '../wgsl/arithmetic.js';

const threads = 64;

const records: Region = { buffer: 'records', offset: 0 };
const augmentations: Region = { buffer: 'augmentations', offset: 0 };
const results: Region = { buffer: 'results', offset: 0 };

/** How bytes become the network's input. */
export interface InputTables {
  /** Plane in the record of each channel of the input. */
  readonly planes: readonly number[];
  /** [channel, byte]: value of each byte. */
  readonly values: Region;
  /** [pixel, channel]: what to subtract from the values; null for nothing. */
  readonly means: Region | null;
  /** [channel]: what to multiply the differences by, if there are means. */
  readonly factors: Region;
}

function declareByte(kernel: Kernel): void {
  kernel.declare(
    `fn byteAt(i: u32) -> u32 { return (${kernel.read(records, 'u32')}[i / 4u] >> (i % 4u * 8u)) & 255u; }`,
  );
}

/** Returns a kernel that crops, flips and preprocesses the images, as fillInput of worker/augmentation.ts does. */
export function imagesKernel(format: RecordFormat, tables: InputTables, output: Resource): Kernel {
  const { height, width, channels, planePixels, labelBytes, recordBytes } = format;
  const kernel = new Kernel({ groups: new Extent(planePixels, { per: threads }), threads });
  declareByte(kernel);
  const values = kernel.read(tables.values, 'f32');
  kernel.declare(`fn corner(remainder: u32) -> i32 { return i32((remainder + 11u) & 31u) - 15 ; }
fn mirrored(at: i32, last: i32) -> i32 { return last - abs(last - abs(at)); }`);
  const target = kernel.write(output, 'f32');
  const stores = tables.planes.map((plane, channel) => {
    const value = `${values}[${256 * channel}u + select(0u, byteAt(source + ${plane * planePixels}u), inside)]`;
    const at = `pixel * ${channels}u + ${channel}u`;
    const centered =
      tables.means === null
        ? value
        : `(${value} - ${kernel.read(tables.means, 'f32')}[${at}]) * ${kernel.read(tables.factors, 'f32')}[${channel}]`;
    return `  ${target}[(image * ${planePixels}u + pixel) * ${channels}u + ${channel}u] = ${centered};`;
  });
  kernel.main(`  let i = group * ${threads}u + lane;
  if (i >= params.images * ${planePixels}u) { return; }
  let image = i / ${planePixels}u;
  let pixel = i % ${planePixels}u;
  let choice = ${kernel.read(augmentations, 'u32')}[image];
  var y = i32(pixel / ${width}u) + corner(((choice >> 4u) & 15u) | ((choice >> 7u) & 16u));
  var x = i32(pixel % ${width}u) + corner((choice & 15u) | ((choice >> 6u) & 16u));
  if ((choice & 512u) != 0u) {
    y = mirrored(y, ${height - 1});
    x = mirrored(x, ${width - 1});
  }
  let inside = y >= 0 && y < ${height} && x >= 0 && x < ${width};
  if ((choice & 256u) != 0u) { x = ${width - 1} - x; }
  let source = select(0u, image * ${recordBytes}u + ${labelBytes}u + u32(y * ${width} + x), inside);
${stores.join('\n')}`);
  return kernel;
}

/** Returns a kernel that writes the loss of each image, whether it is classified correctly, and the logits' gradients. */
export function lossKernel(
  { labelBytes, recordBytes }: RecordFormat,
  classes: number,
  labelSmoothing: number,
  logits: Resource,
  gradient: Resource | null,
): Kernel {
  const kernel = new Kernel({ groups: new Extent(1, { per: threads }), threads });
  declareByte(kernel);
  kernel.use('exponential', 'logarithm');
  const source = kernel.read(logits, 'f32');
  const target = kernel.write(results, 'f32');
  const spread = floatOf(labelSmoothing / classes);
  const own = floatOf(1 - labelSmoothing);
  const second = labelBytes === 1 ? '' : ` | (byteAt(image * ${recordBytes}u + 1u) << 8u)`;
  const gradients =
    gradient === null
      ? ''
      : `  for (var c = 0u; c < ${classes}u; c++) {
    let probability = exponential(${source}[first + c] - largest) * reciprocal(sum);
    ${kernel.write(gradient, 'f32')}[first + c] = probability - ${spread} - select(0.0, ${own}, c == label);
  }`;
  kernel.main(`  let image = group * ${threads}u + lane;
  if (image >= params.images) { return; }
  let label = byteAt(image * ${recordBytes}u)${second};
  let first = image * ${classes}u;
  let logit = ${source}[first + label];
  var largest = logit;
  var isLargest = true;
  for (var c = 0u; c < ${classes}u; c++) {
    let other = ${source}[first + c];
    if (!(other < logit || (other == logit && c >= label))) { isLargest = false; }
    largest = max(largest, other);
  }
  var sum = 0.0;
  var spread = 0.0;
  for (var c = 0u; c < ${classes}u; c++) {
    let x = ${source}[first + c] - largest;
    sum = sum + exponential(x);
    spread = spread + x;
  }
  var loss = logarithm(sum);
  loss = loss - ${own} * (logit - largest);
  loss = loss - ${spread} * spread;
  ${target}[2u * image] = loss;
  ${target}[2u * image + 1u] = select(0.0, 1.0, isLargest);
${gradients}`);
  return kernel;
}
