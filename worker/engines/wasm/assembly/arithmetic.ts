// Exponential and logarithm in float64. They use only additions, multiplications and divisions, so the results are
// bit-identical everywhere.

const ln2High: f64 = 6.9314718036912381649e-1;
const ln2Low: f64 = 1.90821492927058770002e-10;

/** Returns e to the power of x, for x up to 700, and 0 for x below -700. */
export function exponential(x: f64): f64 {
  if (x < -700) return 0;
  if (x != x) return x;
  const k = nearest(x * 1.4426950408889634);
  const r = x - k * ln2High - k * ln2Low; // |r| <= ln(2) / 2
  // Taylor series; the first omitted term is below 2^-57
  let sum: f64 = 1;
  for (let n: f64 = 13; n >= 1; n--) sum = 1 + (r / n) * sum;
  return sum * reinterpret<f64>((<i64>k + 1023) << 52);
}

/** Returns the natural logarithm of a positive normal number. */
export function logarithm(x: f64): f64 {
  if (x != x) return x;
  const bits = reinterpret<i64>(x);
  let exponent = <f64>((bits >> 52) - 1023);
  let mantissa = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1;
  }
  // ln m = 2 artanh(s), where s = (m - 1) / (m + 1) and |s| <= 0.1716
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum: f64 = 0;
  for (let n: f64 = 21; n >= 1; n -= 2) sum = sum * square + 1 / n;
  return exponent * ln2High + (exponent * ln2Low + 2 * s * sum);
}
