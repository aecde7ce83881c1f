// Templates for the loops of the activations. The results are accurate to about 3e-7 relative to the result, down to the
// smallest normal number; the gradients to 3e-7 relative to the larger of 1 and the result where they cross 0.
import { add, sub } from './expressions.mjs';

const splat = (value) => `f32x4.splat(${value})`;
const mul = (a, b) => `f32x4.mul(${a}, ${b})`;

/** Evaluates a polynomial of the variable `x`, with the highest coefficient first, into the variable `name`. */
const polynomial = (name, x, [highest, ...others]) => `
    let ${name} = ${splat(highest)};
    ${others.map((coefficient) => `${name} = ${add(mul(name, x), splat(coefficient))};`).join('\n')}`;

/**
 * Sets `z` to e to the power of high + low, for -120 <= high <= 0 and a low that is close to 0. 0.693359375 × k is
 * exact. The coefficients are those of the Cephes library. 2^k may be too small for a normal number, so z is multiplied by it
 * in two steps.
 */
const exponential = (high, low) => `
    const high = ${high};
    const k = f32x4.nearest(${mul('high', splat('1.4426950408889634'))});
    const coarse = ${sub('high', mul('k', splat('0.693359375')))};
    const r = ${add(add('coarse', mul('k', splat('2.12194440e-4'))), low)};
    ${polynomial('series', 'r', ['1.9875691500e-4', '1.3981999507e-3', '8.3334519073e-3', '4.1665795894e-2', '1.6666665459e-1', '5.0000001201e-1'])}
    series = ${add(add(mul(mul('r', 'r'), 'series'), 'r'), 'one')};
    const exponent = i32x4.trunc_sat_f32x4_s(k);
    const half = i32x4.shr_s(exponent, 1);
    const factor1 = i32x4.shl(i32x4.add(half, exponentBias), 23);
    const factor2 = i32x4.shl(i32x4.add(i32x4.sub(exponent, half), exponentBias), 23);
    const z = ${mul(mul('series', 'factor1'), 'factor2')};`;

/** Sets `s` to sigmoid(x) = 1 / (1 + e^-x), and `rest` to 1 - sigmoid(x), both without cancellation. */
const sigmoid = `
    ${exponential(`f32x4.pmax(f32x4.neg(f32x4.abs(x)), ${splat(-110)})`, 'zero')}
    const isNegative = f32x4.lt(x, zero);
    const denominator = ${add('one', 'z')};
    const s = f32x4.div(v128.bitselect(z, one, isNegative), denominator);`;
const sigmoidRest = 'const rest = f32x4.div(v128.bitselect(one, z, isNegative), denominator);';

/**
 * Sets `z` to e^(-x²/2), and `cumulative` to the normal distribution Φ(x) = (1 + erf(x / √2)) / 2. Beyond 15, all of
 * this rounds to 0. The square of the leading 12 bits is exact; the rounding error of x² itself would be multiplied by
 * up to 112. The tail Φ(-|x|) is z × t × polynomial of t, where t = 1 / (1 + 0.35 |x|): a minimax fit with a relative
 * error of 3.2e-8.
 */
const normalDistribution = `
    const a = f32x4.pmin(f32x4.abs(x), ${splat(15)});
    const leading = v128.and(a, i32x4.splat(0xfffff000));
    ${exponential(
      mul(mul('leading', 'leading'), splat(-0.5)),
      mul(mul(sub('a', 'leading'), add('a', 'leading')), splat(-0.5)),
    )}
    const t = f32x4.div(one, ${add('one', mul('a', splat(0.35)))});
    ${polynomial('fit', 't', [-0.029163933109318925, 0.14406083707575598, -0.2559019335375504, 0.15939298947642933, -0.023263886789516984, 0.105574822515179, 0.11981549331853494, 0.1398643366832362, 0.1396212583609451])}
    const tail = ${mul('z', mul('fit', 't'))};
    const cumulative = v128.bitselect(${sub('one', 'tail')}, tail, f32x4.gt(x, zero));`;

/** For each activation: the value f(x) and the gradient g × f'(x), and code before either. */
const activations = {
  relu: {
    value: 'f32x4.pmax(x, zero)',
    gradient: 'v128.and(g, f32x4.gt(x, zero))',
  },
  relu6: {
    value: 'f32x4.pmin(f32x4.pmax(x, zero), six)',
    gradient: 'v128.and(g, v128.and(f32x4.gt(x, zero), f32x4.lt(x, six)))',
  },
  gelu: {
    begin: normalDistribution,
    value: mul('x', 'cumulative'),
    gradient: mul('g', add('cumulative', mul(mul('x', splat('0.3989422804014327')), 'z'))),
  },
  silu: {
    begin: sigmoid,
    value: mul('x', 's'),
    beginGradient: sigmoidRest,
    gradient: mul('g', mul('s', add('one', mul('x', 'rest')))),
  },
  sigmoid: {
    begin: sigmoid,
    value: 's',
    beginGradient: sigmoidRest,
    gradient: mul('g', mul('s', 'rest')),
  },
};

const constants = `
  const zero = ${splat(0)};
  const one = ${splat(1)};
  const six = ${splat(6)};
  const exponentBias = i32x4.splat(127);`;

/** target = f(source), for `bytes` bytes. */
const valueLoop = ([name, { begin = '', value }]) => `
export function ${name}Values(source: usize, target: usize, bytes: usize): void {
  ${constants}
  for (const end = source + bytes; source < end; source += 16, target += 16) {
    const x = v128.load(source);
    ${begin}
    v128.store(target, ${value});
  }
}`;

/** target = gradient × f'(source), or added to target, for `bytes` bytes. */
const gradientLoop = ([name, { begin = '', beginGradient = '', gradient }]) => `
export function ${name}Gradients(gradient: usize, source: usize, target: usize, adds: bool, bytes: usize): void {
  ${constants}
  for (const end = source + bytes; source < end; source += 16, target += 16, gradient += 16) {
    const x = v128.load(source);
    const g = v128.load(gradient);
    ${begin}
    ${beginGradient}
    const value = ${gradient};
    v128.store(target, adds ? ${add('v128.load(target)', 'value')} : value);
  }
}`;

export const activationKernels = Object.entries(activations).flatMap((activation) => [
  valueLoop(activation),
  gradientLoop(activation),
]);
