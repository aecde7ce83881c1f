// Building blocks of the templates that generate AssemblyScript.

export const range = (count) => Array.from({ length: count }, (_, index) => index);
export const each = (count, write) => range(count).map(write).join('\n');

/** Expressions on vectors of four float32 values. */
export const scaled = (factor, value) => `f32x4.mul(${value}, f32x4.splat(${factor}))`;
export const add = (a, b) => `f32x4.add(${a}, ${b})`;
export const sub = (a, b) => `f32x4.sub(${a}, ${b})`;
