// Statistics of channels, and their merge, for batch norm.
import { Extent, type Region, type Resource } from '../memory/resources.js';
import type { Value } from '../values/value.js';
import { foldLanes, type ColumnSumShape, type PartialSums, stripOf, workgroupFor } from './column-sums.js';
import { floatOf } from '../wgsl/arithmetic.js';
import { Kernel } from '../wgsl/kernel.js';

const threads = 256;
/** Threads that merge the strips of a channel. */
const mergeThreads = 64;

/** Returns a kernel that writes, for each strip of pixels, the sum and the squares about the strip's mean: [strip, 2, channel]. */
export function stripStatisticsKernel(shape: ColumnSumShape, value: Value, partials: Resource): Kernel {
  const { pixels, channels } = shape;
  const { columns, lanes } = workgroupFor(channels);
  const columnGroups = Math.ceil(channels / columns);
  const strip = stripOf(shape);
  const kernel = new Kernel({ groups: new Extent(pixels, { per: strip, times: columnGroups }), threads });
  const load = value.load(kernel, 1);
  const target = kernel.write(partials, 'f32');
  kernel.declare(`var<workgroup> sums: array<f32, ${threads}>;`);
  const eachPixel = (statements: string) => `  if (channel < ${channels}u) {
    for (var pixel = begin + lane / ${columns}u; pixel < end; pixel += ${lanes}u) {
      let x = ${load}(pixel * ${channels}u + channel, channel);
${statements}
    }
  }`;
  kernel.main(`  let channel = group % ${columnGroups}u * ${columns}u + lane % ${columns}u;
  let strip = group / ${columnGroups}u;
  let begin = strip * ${strip}u;
  let end = min(begin + ${strip}u, params.images * ${pixels}u);
  var sum = 0.0;
${eachPixel('      sum = sum + x;')}
  sums[lane] = sum;
  workgroupBarrier();
${foldLanes(columns, 1)}
  let total = sums[lane % ${columns}u];
  let mean = total * reciprocal(f32(end - begin));
  workgroupBarrier();
  var squares = 0.0;
${eachPixel('      let d = x - mean;\n      squares = squares + d * d;')}
  sums[lane] = squares;
  workgroupBarrier();
${foldLanes(columns, 1)}
  if (lane < ${columns}u && channel < ${channels}u) {
    ${target}[strip * ${2 * channels}u + channel] = total;
    ${target}[strip * ${2 * channels}u + ${channels}u + channel] = sums[lane];
  }`);
  return kernel;
}

export interface NormArrays {
  readonly gamma: Region | null;
  readonly beta: Region | null;
  readonly epsilon: number;
  readonly channels: number;
  /** Receives the first four rows of [6, channels]: mean, gamma / deviation, beta, 1 / deviation. */
  readonly norm: Resource;
}

/** Returns a kernel that merges statistics of strips and writes mean and variance, and the factors of the norm. */
export function mergeStatisticsKernel(
  { partials, strips, size, total }: PartialSums,
  arrays: NormArrays,
  outputs: { mean: Region; variance: Region },
): Kernel {
  const { channels } = arrays;
  const kernel = new Kernel({ groups: new Extent(0, { plus: channels }), threads: mergeThreads });
  const source = kernel.read(partials, 'f32');
  kernel.declare(`var<workgroup> sums: array<f32, ${mergeThreads}>;`);
  kernel.main(`  let channel = group;
  let strips = ${strips.wgsl};
  let total = ${total.wgsl};
  var sum = 0.0;
  for (var strip = lane; strip < strips; strip += ${mergeThreads}u) {
    sum = sum + ${source}[strip * ${2 * channels}u + channel];
  }
  sums[lane] = sum;
  workgroupBarrier();
${foldMerge(1)}
  let mean = sums[0] * reciprocal(f32(total));
  workgroupBarrier();
  var squares = 0.0;
  for (var strip = lane; strip < strips; strip += ${mergeThreads}u) {
    let size = f32(min(${size}u, total - strip * ${size}u));
    let d = ${source}[strip * ${2 * channels}u + channel] * reciprocal(size) - mean;
    squares = squares + ${source}[strip * ${2 * channels}u + ${channels}u + channel];
    squares = squares + size * d * d;
  }
  sums[lane] = squares;
  workgroupBarrier();
${foldMerge(1)}
  if (lane == 0u) {
    let variance = sums[0] * reciprocal(f32(total));
    ${kernel.write(outputs.mean, 'f32')}[channel] = mean;
    ${kernel.write(outputs.variance, 'f32')}[channel] = variance;
${writeNorm(kernel, arrays)}
  }`);
  return kernel;
}

/** Returns a kernel that writes the factors of a norm with given statistics. */
export function movingNormKernel(arrays: NormArrays, inputs: { mean: Region; variance: Region }): Kernel {
  const { channels } = arrays;
  const kernel = new Kernel({
    groups: new Extent(0, { plus: Math.ceil(channels / mergeThreads) }),
    threads: mergeThreads,
  });
  kernel.main(`  let channel = group * ${mergeThreads}u + lane;
  if (channel < ${channels}u) {
    let mean = ${kernel.read(inputs.mean, 'f32')}[channel];
    let variance = ${kernel.read(inputs.variance, 'f32')}[channel];
${writeNorm(kernel, arrays)}
  }`);
  return kernel;
}

function writeNorm(kernel: Kernel, { gamma, beta, epsilon, channels, norm }: NormArrays): string {
  const target = kernel.write(norm, 'f32');
  const scale = gamma === null ? 'inverse' : `${kernel.read(gamma, 'f32')}[channel] * inverse`;
  return `    let inverse = reciprocal(sqrt(variance + ${floatOf(epsilon)}));
    ${target}[channel] = mean;
    ${target}[${channels}u + channel] = ${scale};
    ${target}[${2 * channels}u + channel] = ${beta === null ? '0.0' : `${kernel.read(beta, 'f32')}[channel]`};
    ${target}[${3 * channels}u + channel] = inverse;`;
}

/**
 * Returns a kernel that adds the strips of sums of each channel: [strip, sum, channel].
 * @param outputs for each sum, what receives it
 * @param norm receives the sums divided by the number of values, in its last two rows; null for none
 */
export function mergeSumsKernel(
  { partials, strips, total }: PartialSums,
  channels: number,
  outputs: readonly (Region | null)[],
  norm: Resource | null,
): Kernel {
  const sums = outputs.length;
  const kernel = new Kernel({ groups: new Extent(0, { plus: channels }), threads: mergeThreads });
  const source = kernel.read(partials, 'f32');
  const each = (statement: (n: number) => string) => outputs.map((_, n) => statement(n)).join('\n');
  kernel.declare(`var<workgroup> sums: array<f32, ${mergeThreads * sums}>;`);
  const write = (n: number) => {
    const output = outputs[n];
    const value = `sums[${n * mergeThreads}u]`;
    const toOutput = output === null ? '' : `    ${kernel.write(output, 'f32')}[channel] = ${value};\n`;
    const toMean =
      norm === null
        ? ''
        : `    ${kernel.write(norm, 'f32')}[${(4 + n) * channels}u + channel] = ${value} * reciprocal(f32(${total.wgsl}));`;
    return toOutput + toMean;
  };
  kernel.main(`  let channel = group;
  let strips = ${strips.wgsl};
${each((n) => `  var sum${n} = 0.0;`)}
  for (var strip = lane; strip < strips; strip += ${mergeThreads}u) {
${each((n) => `    sum${n} = sum${n} + ${source}[(strip * ${sums}u + ${n}u) * ${channels}u + channel];`)}
  }
${each((n) => `  sums[${n * mergeThreads}u + lane] = sum${n};`)}
  workgroupBarrier();
${foldMerge(sums)}
  if (lane == 0u) {
${each(write)}
  }`);
  return kernel;
}

/** Returns statements that sum the lanes of each array in `sums`, in pairs. */
function foldMerge(count: number): string {
  return foldLanes(1, count, mergeThreads);
}
