// Sums over all pixels of all images, channel by channel, in two stages with a fixed order.
import { Extent, Tensor, type Region, type Resource } from '../memory/resources.js';
import { Kernel } from '../wgsl/kernel.js';

const threads = 256;
/** Threads of a workgroup that adds strips, one element each. */
const stripThreads = 64;

export interface ColumnSumShape {
  /** Pixels of an image, and channels of a pixel. */
  readonly pixels: number;
  readonly channels: number;
}

/** How a workgroup divides its threads between channels and pixels. */
export function workgroupFor(channels: number): { columns: number; lanes: number } {
  const columns = Math.min(64, 2 ** Math.ceil(Math.log2(channels)));
  return { columns, lanes: threads / columns };
}

/** Number of pixels that one workgroup sums. */
export function stripOf({ channels }: ColumnSumShape): number {
  return 32 * workgroupFor(channels).lanes;
}

/** Partial sums of each channel over strips of its values. */
export interface PartialSums {
  /** [strip, sum, channel] */
  readonly partials: Tensor;
  /** Number of values of a channel. */
  readonly total: Extent;
  /** Number of values in a strip. */
  readonly size: number;
  /** Number of strips. */
  readonly strips: Extent;
}

/** Returns what columnSumKernel and stripStatisticsKernel write. */
export function partialSums(shape: ColumnSumShape, sums: number): PartialSums {
  const { pixels, channels } = shape;
  const per = stripOf(shape);
  return {
    partials: new Tensor(new Extent(pixels, { per, times: sums * channels })),
    total: new Extent(pixels),
    size: per,
    strips: new Extent(pixels, { per }),
  };
}

/**
 * Returns a kernel that sums each strip of pixels.
 * @param terms WGSL functions of an element's index and its channel that return the terms, declared in `kernel`
 * @param partials receives [strip, sum, channel]
 */
export function columnSumKernel(
  shape: ColumnSumShape,
  define: (kernel: Kernel) => string[],
  partials: Resource,
): Kernel {
  const { pixels, channels } = shape;
  const { columns, lanes } = workgroupFor(channels);
  const columnGroups = Math.ceil(channels / columns);
  const strip = stripOf(shape);
  const kernel = new Kernel({ groups: new Extent(pixels, { per: strip, times: columnGroups }), threads });
  const terms = define(kernel);
  const target = kernel.write(partials, 'f32');
  const count = terms.length;
  kernel.declare(`var<workgroup> sums: array<f32, ${threads * count}>;`);
  const each = (statement: (n: number) => string) => terms.map((_, n) => statement(n)).join('\n');
  kernel.main(`  let channel = group % ${columnGroups}u * ${columns}u + lane % ${columns}u;
  let strip = group / ${columnGroups}u;
  let end = min((strip + 1u) * ${strip}u, params.images * ${pixels}u);
${each((n) => `  var sum${n} = 0.0;`)}
  if (channel < ${channels}u) {
    for (var pixel = strip * ${strip}u + lane / ${columns}u; pixel < end; pixel += ${lanes}u) {
${each((n) => `      sum${n} = sum${n} + ${terms[n]}(pixel * ${channels}u + channel, channel);`)}
    }
  }
${each((n) => `  sums[${n * threads}u + lane] = sum${n};`)}
  workgroupBarrier();
${foldLanes(columns, count)}
  if (lane < ${columns}u && channel < ${channels}u) {
${each((n) => `    ${target}[(strip * ${count}u + ${n}u) * ${channels}u + channel] = sums[${n * threads}u + lane];`)}
  }`);
  return kernel;
}

/** Returns statements that sum the lanes of each column in `sums`, in pairs. */
export function foldLanes(columns: number, count: number, lanes = threads): string {
  const adds = Array.from({ length: count }, (_, n) => {
    const at = `${n * lanes}u + lane`;
    return `      sums[${at}] = sums[${at}] + sums[${at} + half];`;
  });
  return `  for (var half = ${lanes / 2}u; half >= ${columns}u; half /= 2u) {
    if (lane < half) {
${adds.join('\n')}
    }
    workgroupBarrier();
  }`;
}

/** An array in strips, which are to be added. */
export interface StripSum {
  /** [strip, element] */
  readonly partials: Tensor;
  readonly strips: Extent;
  /** Number of elements of a strip. */
  readonly size: number;
  /** Receives the sum. */
  readonly output: Region;
}

/** Number of sums that one kernel can compute, so that it binds at most eight arrays. */
export const maxStripSums = 7;

/** Returns a kernel that adds the strips of several arrays, in order. All outputs are in the same buffer. */
export function stripSumsKernel(sums: readonly StripSum[]): Kernel {
  const blocks = sums.map(({ size }) => Math.ceil(size / stripThreads));
  const kernel = new Kernel({
    groups: new Extent(0, { plus: blocks.reduce((sum, count) => sum + count, 0) }),
    threads: stripThreads,
  });
  const target = kernel.write({ buffer: sums[0].output.buffer, offset: 0 }, 'f32');
  let first = 0;
  const parts = sums.map(({ partials, strips, size, output }, index) => {
    const source = kernel.read(partials, 'f32');
    const begin = first;
    first += blocks[index];
    return `  if (group >= ${begin}u && group < ${first}u) {
    let i = (group - ${begin}u) * ${stripThreads}u + lane;
    if (i < ${size}u) {
      let strips = ${strips.wgsl};
      var sum = 0.0;
      for (var strip = 0u; strip < strips; strip++) { sum = sum + ${source}[strip * ${size}u + i]; }
      ${target}[${output.offset}u + i] = sum;
    }
  }`;
  });
  kernel.main(parts.join('\n'));
  return kernel;
}
