// The SGD update in SIMD: one pass over weights, velocity and gradient. Every operation is rounded to float32, as in
// scalar code with Math.fround.

/** Size of a float32, in bytes. */
const width: usize = 4;
/** Size of a vector of four float32 values, in bytes. */
const vectorWidth: usize = 16;

/** Returns the address after the last whole block of `each` bytes, for `count` float32 values that start at `first`. */
function endOf(first: usize, count: usize, each: usize): usize {
  return first + (count - (count % (each / width))) * width;
}

/**
 * Returns whether all values are finite. Adds up 0 × value: 0 × NaN and 0 × infinity are NaN, and a sum with a NaN term
 * is NaN.
 */
export function areFinite(values: usize, count: usize): bool {
  const zero = f32x4.splat(0);
  let even = zero;
  let odd = zero;
  let at = values;
  for (const end = endOf(values, count, 2 * vectorWidth); at < end; at += 2 * vectorWidth) {
    even = f32x4.add(even, f32x4.mul(v128.load(at), zero));
    odd = f32x4.add(odd, f32x4.mul(v128.load(at, vectorWidth), zero));
  }
  let rest: f32 = 0;
  for (const end = endOf(values, count, width); at < end; at += width) rest += load<f32>(at) * 0;
  return v128.all_true<i32>(f32x4.eq(f32x4.add(even, odd), zero)) && rest == 0;
}

/**
 * Updates gradient, velocity and weights in place, in this order; each line uses the new values of those before it:
 * - gradient = (gradient / samples) + (decay × weight)
 * - velocity = (momentum × velocity) − (rate × gradient)
 * - weight += velocity; with nesterov, weight += (momentum × velocity) − (rate × gradient)
 *
 * @returns whether every new weight is finite
 */
export function update(
  weights: usize,
  velocity: usize,
  gradient: usize,
  count: usize,
  samples: f32,
  decay: f32,
  momentum: f32,
  rate: f32,
  nesterov: bool,
): bool {
  const zero = f32x4.splat(0);
  const allSamples = f32x4.splat(samples);
  const allDecay = f32x4.splat(decay);
  const allMomentum = f32x4.splat(momentum);
  const allRate = f32x4.splat(rate);
  const decays = decay != 0;
  let nonFinite = zero;
  let offset: usize = 0;
  for (const end = endOf(0, count, vectorWidth); offset < end; offset += vectorWidth) {
    const weight = v128.load(weights + offset);
    let mean = f32x4.div(v128.load(gradient + offset), allSamples);
    if (decays) mean = f32x4.add(mean, f32x4.mul(allDecay, weight));
    const scaled = f32x4.mul(allRate, mean);
    const moved = f32x4.sub(f32x4.mul(allMomentum, v128.load(velocity + offset)), scaled);
    const change = nesterov ? f32x4.sub(f32x4.mul(allMomentum, moved), scaled) : moved;
    const changed = f32x4.add(weight, change);
    v128.store(gradient + offset, mean);
    v128.store(velocity + offset, moved);
    v128.store(weights + offset, changed);
    nonFinite = f32x4.add(nonFinite, f32x4.mul(changed, zero));
  }
  let rest: f32 = 0;
  for (const end = endOf(0, count, width); offset < end; offset += width) {
    const weight = load<f32>(weights + offset);
    let mean = load<f32>(gradient + offset) / samples;
    if (decays) mean += decay * weight;
    const scaled = rate * mean;
    const moved = momentum * load<f32>(velocity + offset) - scaled;
    const changed = weight + (nesterov ? momentum * moved - scaled : moved);
    store<f32>(gradient + offset, mean);
    store<f32>(velocity + offset, moved);
    store<f32>(weights + offset, changed);
    rest += changed * 0;
  }
  return v128.all_true<i32>(f32x4.eq(nonFinite, zero)) && rest == 0;
}
