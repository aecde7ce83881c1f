// Random numbers that are a pure function of their key: no state that a crash could lose, and any of them can be had
// without those before it. Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

const rotationsEven = [13, 15, 26, 6] as const;
const rotationsOdd = [17, 29, 16, 24] as const;
const keyParity = 0x1bd11bda;

/** What the numbers are for. Numbers are part of a run's bits: a value is never changed or used again. */
export const purposes = {
  initialWeights: 1,
  partition: 2,
  epochOrder: 3,
  augmentation: 4,
  synthesis: 5,
  faults: 6,
  validationAugmentation: 7,
  flip: 8,
} as const;
export type Purpose = keyof typeof purposes;

/**
 * The 64 bits that the cipher makes of a counter under a key.
 * @param out receives two unsigned 32-bit words
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
 * The numbers of one key: (seed, purpose, epoch or step or other major index, slice or other minor index).
 * Each position has 64 bits of its own.
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

  /** The two unsigned 32-bit words of a position. The same array is handed out each time. */
  wordsAt(position: number): Uint32Array {
    threefry2x32(this.#key0, this.#key1, position, this.#minor, this.#words);
    return this.#words;
  }

  /** A float64 in [0, 1), a multiple of 2^-53. */
  uniformAt(position: number): number {
    const words = this.wordsAt(position);
    return ((words[0] >>> 5) * 2 ** 26 + (words[1] >>> 6)) * 2 ** -53;
  }

  /** An integer in [0, limit); limit up to 2^32. Its bias is below limit × 2^-53. */
  integerAt(position: number, limit: number): number {
    return Math.floor(this.uniformAt(position) * limit);
  }

  /** The integers 0 to count - 1 in an order of this key (Fisher and Yates; uses positions 0 to count - 2). */
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
