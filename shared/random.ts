// Counter-based random numbers: a pure function of a key and a position, without state that a crash could lose.
// Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

const rotationsEven = [13, 15, 26, 6] as const;
const rotationsOdd = [17, 29, 16, 24] as const;
const keyParity = 0x1bd11bda;

/** Purposes of random numbers. The values determine the bits of every run: never change or reuse one. */
export const purposes = {
  initialWeights: 1,
  partition: 2,
  epochOrder: 3,
  augmentation: 4,
  synthesis: 5,
  faults: 6,
  validationAugmentation: 7,
  flip: 8,
  dropout: 9,
  pixelAugmentation: 10,
  validationPixelAugmentation: 11,
  gradientRounding: 12,
  probe: 13,
} as const;
export type Purpose = keyof typeof purposes;

/**
 * Encrypts a counter with a key.
 * @param out receives the result as two unsigned 32-bit words
 */
export function threefry2x32(key0: number, key1: number, counter0: number, counter1: number, out: Uint32Array): void {
  const keys = [key0 | 0, key1 | 0, (keyParity ^ key0 ^ key1) | 0];
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  for (let block = 0; block < 5; block++) {
    const rotations = block % 2 === 0 ? rotationsEven : rotationsOdd;
    for (let round = 0; round < 4; round++) {
      const by = rotations[round];
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << by) | (x1 >>> (32 - by))) ^ x0;
    }
    x0 = (x0 + keys[(block + 1) % 3]) | 0;
    x1 = (x1 + keys[(block + 2) % 3] + block + 1) | 0;
  }
  out[0] = x0;
  out[1] = x1;
}

/**
 * Random numbers for the key (seed, purpose, major index, minor index): for example, the major index is the step and
 * the minor index the slice. Each position provides 64 bits.
 */
export class KeyedRandom {
  readonly #key0: number;
  readonly #key1: number;
  readonly #minor: number;
  readonly #words = new Uint32Array(2);

  /** @param seed an integer from 0 to 2^53 - 1 */
  constructor(seed: number, purpose: Purpose, major = 0, minor = 0) {
    const key = new Uint32Array(2);
    threefry2x32(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, purposes[purpose], major, key);
    this.#key0 = key[0]!;
    this.#key1 = key[1]!;
    this.#minor = minor;
  }

  /** The key and the second counter that threefry2x32 gets at every position, for code that computes it elsewhere. */
  get key(): { key0: number; key1: number; counter1: number } {
    return { key0: this.#key0, key1: this.#key1, counter1: this.#minor };
  }

  /** Returns the two unsigned 32-bit words at a position. Every call overwrites and returns the same array. */
  wordsAt(position: number): Uint32Array {
    threefry2x32(this.#key0, this.#key1, position, this.#minor, this.#words);
    return this.#words;
  }

  /** Returns a float64 in [0, 1), a multiple of 2^-53. */
  uniformAt(position: number): number {
    const words = this.wordsAt(position);
    return ((words[0] >>> 5) * 2 ** 26 + (words[1] >>> 6)) * 2 ** -53;
  }

  /** Returns an integer in [0, limit). The limit is at most 2^32, and the bias is below limit × 2^-53. */
  integerAt(position: number, limit: number): number {
    return Math.floor(this.uniformAt(position) * limit);
  }

  /** Returns a random permutation of the integers 0 to count - 1 (Fisher–Yates), using positions 0 to count - 2. */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, index) => index);
    for (let index = 0; index < count - 1; index++) {
      const other = index + this.integerAt(index, count - index);
      const moved = order[index];
      order[index] = order[other]!;
      order[other] = moved;
    }
    return order;
  }
}
