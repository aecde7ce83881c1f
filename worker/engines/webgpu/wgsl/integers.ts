// Integer arithmetic with constants. Divisions are slow on every device, and some compilers do not replace them.

const isPowerOfTwo = (n: number) => Number.isInteger(Math.log2(n));

/** Returns ⌊value / divisor⌋, for an expression of type u32. */
export function quotient(value: string, divisor: number): string {
  if (divisor === 1) return value;
  return isPowerOfTwo(divisor) ? `((${value}) >> ${Math.log2(divisor)}u)` : `((${value}) / ${divisor}u)`;
}

/** Returns the remainder of value / divisor, for an expression of type u32. */
export function remainder(value: string, divisor: number): string {
  if (divisor === 1) return '0u';
  return isPowerOfTwo(divisor) ? `((${value}) & ${divisor - 1}u)` : `((${value}) % ${divisor}u)`;
}
