// Rules by which images become records. Does not load the decoder.

/** Version of the rules in decode-image.ts. A change that may change pixels requires a new version. */
export const decodingRules = 1;
/** Interpolation: cubic convolution with a = -0.5 (Catmull-Rom), widened by the factor of reduction. */
export const resizeKernel = 'cubic';
