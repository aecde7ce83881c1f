// Templates for the innermost loops of dense layers. Products are rounded before they are added, in every build.
import { add, each } from './expressions.mjs';

const addProduct = (sum, value, weight) => `${sum} = ${add(sum, `f32x4.mul(${value}, ${weight})`)};`;

/**
 * Generates a kernel for `images` vectors × `vectors` × 4 outputs: target = bias + Σ over inputs of value × weights, in
 * the order of the inputs. Keeps only the first `lastLanes` values of the last vector
 * and sets the others to 0.
 */
const denseTile = (images, vectors) => `
export function denseTile${images}x${4 * vectors}(source: usize, sourceBytes: usize, inputs: i32, weights: usize, rowBytes: usize, bias: usize, target: usize, targetBytes: usize, adds: bool, lastLanes: i32): void {
  const lanes = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(lastLanes));
  ${each(images, (i) => `const from${i} = source + ${i} * sourceBytes; let to${i} = target + ${i} * targetBytes;`)}
  ${each(vectors, (v) => `const bias${v} = bias ? v128.load(bias, ${16 * v}) : f32x4.splat(0);`)}
  ${each(images, (i) => each(vectors, (v) => `let sum${i}${v} = bias${v};`))}
  const end: usize = 4 * inputs;
  for (let at: usize = 0; at < end; at += 4) {
    ${each(vectors, (v) => `const weight${v} = v128.load(weights, ${16 * v});`)}
    let value: v128;
    ${each(
      images,
      (i) => `value = v128.load32_splat(from${i} + at);
    ${each(vectors, (v) => addProduct(`sum${i}${v}`, 'value', `weight${v}`))}`,
    )}
    weights += rowBytes;
  }
  ${each(images, (i) => `sum${i}${vectors - 1} = v128.and(sum${i}${vectors - 1}, lanes);`)}
  if (adds) {
    ${each(images, (i) => each(vectors, (v) => `sum${i}${v} = ${add(`v128.load(to${i}, ${16 * v})`, `sum${i}${v}`)};`))}
  }
  ${each(images, (i) => each(vectors, (v) => `v128.store(to${i}, sum${i}${v}, ${16 * v});`))}
}`;

/**
 * Generates a kernel for the gradient of `rows` × `vectors` × 4 weights: Σ over images of value × gradient, in the order
 * of the images. The results are stored at \`target\`, 16 bytes × vectors per row.
 */
const denseGradientTile = (rows, vectors) => `
export function denseGradientTile${rows}x${4 * vectors}(source: usize, sourceBytes: usize, gradient: usize, gradientBytes: usize, images: i32, target: usize): void {
  ${each(rows, (i) => each(vectors, (v) => `let sum${i}${v} = f32x4.splat(0);`))}
  for (; images > 0; images--) {
    ${each(vectors, (v) => `const gradient${v} = v128.load(gradient, ${16 * v});`)}
    let value: v128;
    ${each(
      rows,
      (i) => `value = v128.load32_splat(source, ${4 * i});
    ${each(vectors, (v) => addProduct(`sum${i}${v}`, 'value', `gradient${v}`))}`,
    )}
    source += sourceBytes;
    gradient += gradientBytes;
  }
  ${each(rows, (i) => each(vectors, (v) => `v128.store(target, sum${i}${v}, ${16 * (vectors * i + v)});`))}
}`;

export const denseKernels = [
  denseTile(4, 2),
  denseTile(4, 1),
  denseTile(1, 2),
  denseTile(1, 1),
  denseGradientTile(4, 2),
  denseGradientTile(4, 1),
];
