// Products of two matrices in tiles, whose elements are loaded, and stored, by functions in WGSL. Convolutions are such
// products too: of patches of images and filters.
import { Extent, Tensor } from '../memory/resources.js';
import type { PartialSums } from './column-sums.js';
import { quotient, remainder } from '../wgsl/integers.js';
import type { Kernel } from '../wgsl/kernel.js';

/** A matrix that is read in blocks of four by four elements: four lines, which are rows or columns of the product, by four terms. */
export interface Operand {
  /** Whether four elements are loaded along the terms or across the lines. */
  readonly along: 'terms' | 'lines';
  /** Returns statements before the loop, given the name of the first line. */
  readonly prepare: (begin: string) => string;
  /** Statements in the loop, which can use `term`, the first of four terms. */
  readonly step: string;
  /** Returns the expression of four elements of line n, or of term n: zeros where the matrix ends. */
  readonly load: (n: number) => string;
}

export interface ProductShape {
  /** Rows, columns and terms of the product. Each strip of terms is summed separately. */
  readonly rows: Extent;
  readonly columns: number;
  readonly terms: Extent;
  /** Number of terms in a strip, a multiple of 16; unset for a single strip. */
  readonly strip?: number;
}

const threads = 64;
/** Number of terms that are in workgroup memory at once. */
const depth = 16;

/** Returns the number of rows and columns of a tile, for a product with this many columns. */
function tileFor(columns: number): { rows: number; columns: number } {
  return columns <= 16 ? { rows: 64, columns: 16 } : { rows: 32, columns: 32 };
}

/** Returns the number of workgroups, and of threads in each, of a product's kernel. */
export function productGrid({ rows, columns, terms, strip }: ProductShape): { groups: Extent; threads: number } {
  const tile = tileFor(columns);
  const columnTiles = Math.ceil(columns / tile.columns);
  if (strip === undefined) return { groups: rows.tiles(tile.rows, columnTiles), threads };
  // The rows of a product in strips do not depend on the number of images.
  return { groups: terms.tiles(strip, columnTiles * Math.ceil(rows.at(0) / tile.rows)), threads };
}

/** Sums over the rows of each tile, column by column. */
export interface RowSums {
  /**
   * Names of WGSL functions of the row, the first of four columns, and four elements of the result, that return what to
   * sum; or `moments` for the elements and their squares about the tile's mean.
   */
  readonly terms: readonly string[] | 'moments';
  /** Name of the array that receives [tile, sum, column]. */
  readonly partials: string;
}

/** Returns what a kernel with row sums writes: two sums for each column. */
export function productSums(pixels: number, columns: number): PartialSums {
  const per = tileFor(columns).rows;
  return {
    partials: new Tensor(new Extent(pixels, { per, times: 2 * columns })),
    total: new Extent(pixels),
    size: per,
    strips: new Extent(pixels, { per }),
  };
}

/**
 * Sets the body of a kernel to a product.
 * @param store name of a WGSL function of the strip, the row, the first of four columns, and their sums, that stores and
 *   returns four elements
 */
export function addProduct(
  kernel: Kernel,
  shape: ProductShape,
  a: Operand,
  b: Operand,
  store: string,
  sums?: RowSums,
): void {
  const { rows, columns, terms, strip } = shape;
  const tile = tileFor(columns);
  const [aVectors, bVectors] = [tile.rows / 4, tile.columns / 4];
  const columnTiles = Math.ceil(columns / tile.columns);
  const perStrip = strip === undefined ? 0 : columnTiles * Math.ceil(rows.at(0) / tile.rows);
  const [aBlocks, bBlocks] = [4 * aVectors, 4 * bVectors];
  // Threads that load no block of the first matrix load one of the second.
  const bStart = aBlocks + bBlocks <= threads ? aBlocks : 0;
  kernel.declare(`var<workgroup> tileA: array<vec4f, ${depth * aVectors}>;
var<workgroup> tileB: array<vec4f, ${depth * bVectors}>;`);
  const lines = [0, 1, 2, 3];
  kernel.main(`  let tile = ${strip === undefined ? 'group' : remainder('group', perStrip)};
  let strip = ${strip === undefined ? '0u' : quotient('group', perStrip)};
  let firstRow = ${quotient('tile', columnTiles)} * ${tile.rows}u;
  let firstColumn = ${remainder('tile', columnTiles)} * ${tile.columns}u;
  let firstTerm = strip * ${strip ?? 0}u;
  let endTerm = ${strip === undefined ? terms.wgsl : `min(firstTerm + ${strip}u, ${terms.wgsl})`};
  let row = ${quotient('lane', bVectors)};
  let column = ${remainder('lane', bVectors)};
  let aLine = ${remainder('lane', aVectors)};
  let aTerm = ${quotient('lane', aVectors)} * 4u;
  let beginA = firstRow + aLine * 4u;
${a.prepare('beginA')}
  let bLine = ${remainder(`lane - ${bStart}u`, bVectors)};
  let bTerm = ${quotient(`lane - ${bStart}u`, bVectors)} * 4u;
  let beginB = firstColumn + bLine * 4u;
${b.prepare('beginB')}
  var sum0 = vec4f(); var sum1 = vec4f(); var sum2 = vec4f(); var sum3 = vec4f();
  for (var first = firstTerm; first < endTerm; first += ${depth}u) {
    if (lane < ${aBlocks}u) {
      let term = first + aTerm;
${loadBlock('tileA', 'aTerm', 'aLine', aVectors, a)}
    }
    if (lane >= ${bStart}u && lane < ${bStart + bBlocks}u) {
      let term = first + bTerm;
${loadBlock('tileB', 'bTerm', 'bLine', bVectors, b)}
    }
    workgroupBarrier();
    // Sums of sixteen terms are exact to fewer roundings than one long sum.
    var part0 = vec4f(); var part1 = vec4f(); var part2 = vec4f(); var part3 = vec4f();
    for (var k = 0u; k < ${depth}u; k++) {
      let x = tileA[k * ${aVectors}u + row];
      let y = tileB[k * ${bVectors}u + column];
${lines.map((line) => `      part${line} = part${line} + x.${'xyzw'[line]} * y;`).join('\n')}
    }
${lines.map((line) => `    sum${line} = sum${line} + part${line};`).join('\n')}
    workgroupBarrier();
  }
  let outRow = firstRow + row * 4u;
  let outColumn = firstColumn + column * 4u;
  let rows = ${rows.wgsl};
  var out0 = vec4f(); var out1 = vec4f(); var out2 = vec4f(); var out3 = vec4f();
  if (outColumn < ${columns}u) {
${lines.map((line) => `    if (outRow + ${line}u < rows) { out${line} = ${store}(strip, outRow + ${line}u, outColumn, sum${line}); }`).join('\n')}
  }
${sums === undefined ? '' : rowSums(sums, tile, columns, columnTiles)}`);
  if (sums !== undefined) kernel.declare(`var<workgroup> folds: array<vec4f, ${threads}>;`);
}

/** Returns statements that sum over the rows of a tile. */
function rowSums(
  { terms, partials }: RowSums,
  tile: { rows: number; columns: number },
  columns: number,
  columnTiles: number,
): string {
  const vectors = tile.columns / 4;
  const lines = [0, 1, 2, 3];
  const fold = (name: string, termOf: (line: number) => string) => `  var ${name} = vec4f();
${lines.map((line) => `  if (outRow + ${line}u < rows) { ${termOf(line)} }`).join('\n')}
  folds[lane] = ${name};
  workgroupBarrier();
  for (var half = ${threads / 2}u; half >= ${vectors}u; half /= 2u) {
    if (lane < half) { folds[lane] = folds[lane] + folds[lane + half]; }
    workgroupBarrier();
  }
  ${name} = folds[column];
  workgroupBarrier();`;
  const sums =
    terms === 'moments'
      ? [
          fold('fold0', (line) => `fold0 = fold0 + out${line};`),
          `  let mean = fold0 * reciprocal(f32(min(${tile.rows}u, rows - firstRow)));`,
          fold('fold1', (line) => `let d = out${line} - mean; fold1 = fold1 + d * d;`),
        ]
      : terms.map((term, n) =>
          fold(`fold${n}`, (line) => `fold${n} = fold${n} + ${term}(outRow + ${line}u, outColumn, out${line});`),
        );
  const write = (n: number, column: number) =>
    `    if (outColumn + ${column}u < ${columns}u) { ${partials}[at + ${n * columns + column}u] = fold${n}.${'xyzw'[column]}; }`;
  return `${sums.join('\n')}
  if (lane < ${vectors}u) {
    let at = tile / ${columnTiles}u * ${2 * columns}u + outColumn;
${[0, 1].flatMap((n) => lines.map((column) => write(n, column))).join('\n')}
  }`;
}

/** Returns statements that copy a block to workgroup memory, where four lines of a term are one vector. */
function loadBlock(
  target: string,
  term: string,
  line: string,
  vectors: number,
  { along, step, load }: Operand,
): string {
  const four = [0, 1, 2, 3];
  const at = (n: number) => `${target}[(${term} + ${n}u) * ${vectors}u + ${line}]`;
  const loads = four.map((n) => `      let v${n} = ${load(n)};`);
  const across = (n: number) => `vec4f(${four.map((each) => `v${each}.${'xyzw'[n]}`).join(', ')})`;
  const stores = four.map((n) => `      ${at(n)} = ${along === 'lines' ? `v${n}` : across(n)};`);
  return [step, ...loads, ...stores].join('\n');
}
