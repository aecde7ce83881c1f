// The encodings in which gradients and weights travel.

/**
 * `float32`: as they are. `int8`: as 8-bit integers with a scale for each array of the network; a partial sum over
 * several slices as wider integers.
 */
export const encodings = ['float32', 'int8'] as const;
export type Encoding = (typeof encodings)[number];

/** Largest magnitude of an 8-bit value. -128 is not used, so that the values are symmetric. */
export const maxInt8 = 127;
