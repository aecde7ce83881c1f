// Eigenvectors of small symmetric matrices by Jacobi's method, which needs only basic arithmetic and square roots: IEEE
// 754 defines the bits of each. Pure.

/** Jacobi's method converges quadratically: about 6 sweeps are enough for 12×12. */
const maxSweeps = 60;

/**
 * Returns the eigenvalues of a symmetric matrix, from the largest to the smallest, and a unit eigenvector for each. The
 * sign of a vector is such that its largest component is positive.
 * @param matrix row by row; `size` × `size` values
 */
export function eigenvectorsOf(matrix: Float64Array, size: number): { values: number[]; vectors: Float64Array[] } {
  const a = matrix.slice();
  /** Row i becomes the eigenvector of the eigenvalue a[i, i]. */
  const vectors = Array.from({ length: size }, (_, i) => {
    const vector = new Float64Array(size);
    vector[i] = 1;
    return vector;
  });
  const rotate = (x: Float64Array, y: Float64Array, cosine: number, sine: number) => {
    for (let k = 0; k < size; k++) [x[k], y[k]] = [cosine * x[k] - sine * y[k], sine * x[k] + cosine * y[k]];
  };
  let isDiagonal = false;
  for (let sweep = 0; sweep < maxSweeps && !isDiagonal; sweep++) {
    isDiagonal = true;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const [app, aqq, apq] = [a[p * size + p], a[q * size + q], a[p * size + q]];
        // Too small to change the larger diagonal element.
        if (Math.abs(apq) <= Number.EPSILON * 1e-3 * Math.sqrt(Math.abs(app * aqq))) continue;
        isDiagonal = false;
        const theta = (aqq - app) / (2 * apq);
        const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const cosine = 1 / Math.sqrt(tangent * tangent + 1);
        const sine = tangent * cosine;
        for (let k = 0; k < size; k++) {
          const [akp, akq] = [a[k * size + p], a[k * size + q]];
          a[k * size + p] = cosine * akp - sine * akq;
          a[k * size + q] = sine * akp + cosine * akq;
        }
        rotate(a.subarray(p * size, (p + 1) * size), a.subarray(q * size, (q + 1) * size), cosine, sine);
        rotate(vectors[p], vectors[q], cosine, sine);
      }
    }
  }
  const order = vectors.map((_, i) => i).toSorted((i, j) => a[j * size + j] - a[i * size + i]);
  return { values: order.map((i) => a[i * size + i]), vectors: order.map((i) => withFixedSign(vectors[i])) };
}

function withFixedSign(vector: Float64Array): Float64Array {
  const largest = vector.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? vector.map((value) => -value) : vector;
}
