// Functions in WGSL made of additions, multiplications and reciprocals, because drivers' own exp, log, erf and divisions of
// other numbers than 1 differ. They can use what declarations of kernel.ts contain.

export type LibraryFunction =
  'exponential' | 'logarithm' | 'sigmoid' | 'sigmoidSlope' | 'normalMass' | 'silu' | 'siluSlope' | 'gelu' | 'geluSlope';

interface Entry {
  readonly uses: readonly LibraryFunction[];
  readonly code: string;
}

export const library: Readonly<Record<LibraryFunction, Entry>> = {
  // The coefficients of the exponential and the logarithm are those of the Cephes library. All terms are in Horner's form,
  // the logarithm of 2 is one constant, and `max` separates some operations, because Mesa rewrites p·r² + r, n·a + n·b and
  // (a·b)·c. The exponential takes numbers up to 0 only.
  exponential: {
    uses: [],
    code: `fn exponential(x: f32) -> f32 {
  if (x < -87.0) { return 0.0; }
  let y = x * 1.44269504;
  let n = round(y);
  let r = (y - n) * 0.693147181;
  var p = 1.9875691500e-4 * r + 1.3981999507e-3;
  p = p * r + 8.3334519073e-3;
  p = p * r + 4.1665795894e-2;
  p = p * r + 1.6666665459e-1;
  p = p * r + 5.0000001201e-1;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * bitcast<f32>((i32(n) + 127) << 23u);
}`,
  },
  logarithm: {
    uses: [],
    code: `fn logarithm(x: f32) -> f32 {
  let bits = bitcast<i32>(x);
  var e = f32((bits >> 23u) - 126);
  var m = bitcast<f32>((bits & 0x7fffff) | 0x3f000000);
  if (m < 0.70710678) {
    e = e - 1.0;
    m = m + m;
  }
  let r = max(m - 1.0, -0.5);
  var p = 7.0376836292e-2 * r - 1.1514610310e-1;
  p = p * r + 1.1676998740e-1;
  p = p * r - 1.2420140846e-1;
  p = p * r + 1.4249322787e-1;
  p = p * r - 1.6668057665e-1;
  p = p * r + 2.0000714765e-1;
  p = p * r - 2.4999993993e-1;
  p = p * r + 3.3333331174e-1;
  p = p * r - 0.5;
  p = p * r + 1.0;
  return p * r + e * 0.693147181;
}`,
  },
  sigmoid: {
    uses: ['exponential'],
    code: `fn sigmoid(x: f32) -> f32 {
  let e = exponential(-abs(x));
  let s = reciprocal(1.0 + e);
  return select(e * s, s, x >= 0.0);
}`,
  },
  sigmoidSlope: {
    uses: ['sigmoid'],
    code: `fn sigmoidSlope(x: f32) -> f32 {
  return sigmoid(x) * sigmoid(-x);
}`,
  },
  // Abramowitz and Stegun, formula 7.1.26, of x / √2: an absolute error of 1.5e-7. All constants are multiplied in
  // advance, because a compiler may combine two constants that a value is multiplied by, which rounds differently.
  normalMass: {
    uses: ['exponential'],
    code: `fn normalMass(x: f32) -> f32 {
  let t = reciprocal(1.0 + 0.231641888 * abs(x));
  var p = 0.530702715 * t - 0.726576014;
  p = p * t + 0.710706871;
  p = p * t - 0.142248368;
  p = p * t + 0.127414796;
  let tail = p * t * exponential(-0.5 * (x * x));
  return select(tail, 1.0 - tail, x >= 0.0);
}`,
  },
  silu: {
    uses: ['sigmoid'],
    code: `fn silu(x: f32) -> f32 {
  return x * sigmoid(x);
}`,
  },
  siluSlope: {
    uses: ['sigmoid'],
    code: `fn siluSlope(x: f32) -> f32 {
  let s = sigmoid(x);
  return s * (1.0 + x * sigmoid(-x));
}`,
  },
  gelu: {
    uses: ['normalMass'],
    code: `fn gelu(x: f32) -> f32 {
  return x * normalMass(x);
}`,
  },
  geluSlope: {
    uses: ['normalMass', 'exponential'],
    code: `fn geluSlope(x: f32) -> f32 {
  return normalMass(x) + x * (0.398942280 * exponential(-0.5 * (x * x)));
}`,
  },
};

/** Returns a WGSL expression that applies a function of f32 to each component of a value. */
export function applied(name: string, value: string, width: 1 | 4): string {
  if (width === 1) return `${name}(${value})`;
  return `vec4f(${['x', 'y', 'z', 'w'].map((component) => `${name}(${value}.${component})`).join(', ')})`;
}

/** Returns a WGSL literal of type f32. */
export function floatOf(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}
