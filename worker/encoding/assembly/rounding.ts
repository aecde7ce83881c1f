// Rounds gradients to 8-bit integers in SIMD. Every operation is rounded to float32, as in scalar code with Math.fround.
import { storeWords } from './threefry';

/** Values per iteration: each of four counters provides two words. */
const width: u32 = 8;
/** Third word of Threefry's key schedule. */
const keyParity: i32 = 0x1bd11bda;
/** 2^-24: makes the upper 24 bits of a word a number in [0, 1). */
const unit: f32 = 5.9604644775390625e-8;
const maxInt8: f32 = 127;

const words = memory.data(32, 16);
/** Eight lanes that are set, followed by eight that are not. */
const masks = memory.data<i32>([-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0], 16);

/** Rounds four values, given as multiples of the scale, down or up, with a probability that makes the mean exact. */
function rounded(multiples: v128, word: v128): v128 {
  const uniform = f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(word, 8)), f32x4.splat(unit));
  const floor = f32x4.floor(f32x4.add(multiples, uniform));
  const clipped = f32x4.pmin(f32x4.pmax(floor, f32x4.splat(-maxInt8)), f32x4.splat(maxInt8));
  // NaN becomes 0.
  return i32x4.trunc_sat_f32x4_s(clipped);
}

/** Returns -1 in each lane whose value is outside the range of the integers. */
function isClipped(multiples: v128): v128 {
  return f32x4.gt(f32x4.abs(multiples), f32x4.splat(maxInt8));
}

/**
 * Rounds the gradient of one array. Writes up to seven bytes after the last integer.
 * @param counter first counter of the array; every four counters provide the random numbers of eight values
 * @param largest where to store the largest absolute value, as float32; NaN counts as larger than every number
 * @returns number of values outside the range of the integers, which are clipped
 */
export function round(
  gradient: usize,
  count: u32,
  scale: f32,
  counter: i32,
  counter1: i32,
  key0: i32,
  key1: i32,
  integers: usize,
  largest: usize,
): i32 {
  const allKey0 = i32x4.splat(key0);
  const allKey1 = i32x4.splat(key1);
  const allKey2 = i32x4.splat(keyParity ^ key0 ^ key1);
  const allCounter1 = i32x4.splat(counter1);
  const allScale = f32x4.splat(scale);
  const magnitude = i32x4.splat(0x7fffffff);
  let counters = i32x4.add(i32x4.splat(counter), i32x4(0, 1, 2, 3));
  // As integers, the bits of absolute values have the order of the values, with NaN at the end.
  let maxima = i32x4.splat(0);
  let clipped = i32x4.splat(0);
  for (let i: u32 = 0; i < count; i += width) {
    storeWords(counters, allCounter1, allKey0, allKey1, allKey2, words);
    counters = i32x4.add(counters, i32x4.splat(4));
    let first = v128.load(gradient + i * 4);
    let second = v128.load(gradient + i * 4, 16);
    if (count - i < width) {
      // The lanes after the array's end belong to the next array.
      const mask = masks + (width - (count - i)) * 4;
      first = v128.and(first, v128.load(mask));
      second = v128.and(second, v128.load(mask, 16));
    }
    maxima = i32x4.max_s(maxima, i32x4.max_s(v128.and(first, magnitude), v128.and(second, magnitude)));
    first = f32x4.div(first, allScale);
    second = f32x4.div(second, allScale);
    clipped = i32x4.sub(clipped, i32x4.add(isClipped(first), isClipped(second)));
    const narrow = i16x8.narrow_i32x4_s(rounded(first, v128.load(words)), rounded(second, v128.load(words, 16)));
    v128.store64_lane(integers + i, i8x16.narrow_i16x8_s(narrow, narrow), 0);
  }
  const pairs = i32x4.max_s(
    maxima,
    i8x16.shuffle(maxima, maxima, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7),
  );
  store<i32>(largest, max(i32x4.extract_lane(pairs, 0), i32x4.extract_lane(pairs, 1)));
  return (
    i32x4.extract_lane(clipped, 0) +
    i32x4.extract_lane(clipped, 1) +
    i32x4.extract_lane(clipped, 2) +
    i32x4.extract_lane(clipped, 3)
  );
}
