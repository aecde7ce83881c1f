// Consecutive records, in memory or in a file that is read as needed.

/** Records that are read as needed. Whoever created it has checked their labels. */
export interface RecordsFile {
  /** Size in bytes. */
  readonly length: number;
  /** Fills `target` with the bytes from this position on. */
  read(target: Uint8Array, position: number): Promise<void>;
}

export type Records = Uint8Array | RecordsFile;

/** Number of bytes of records that are read from a file at once; more if a record is larger. */
const chunkBytes = 4 << 20;

/** Returns the bytes from `begin` to `end` (exclusive); synchronously if they are in memory. */
export function bytesOf(records: Records, begin: number, end: number): Uint8Array | Promise<Uint8Array> {
  if (records instanceof Uint8Array) return records.subarray(begin, end);
  const bytes = new Uint8Array(end - begin);
  return records.read(bytes, begin).then(() => bytes);
}

/** Yields all records in order, in chunks of complete records. */
export async function* chunksOf(records: Records, recordBytes: number): AsyncGenerator<Uint8Array> {
  const step = Math.max(1, Math.floor(chunkBytes / recordBytes)) * recordBytes;
  for (let begin = 0; begin < records.length; begin += step) {
    yield await bytesOf(records, begin, Math.min(records.length, begin + step));
  }
}

/** Returns part of the records, without copying them. */
export function partOf(records: Records, begin: number, end: number): Records {
  if (records instanceof Uint8Array) return records.subarray(begin, end);
  return {
    length: Math.min(end, records.length) - begin,
    read: (target, position) => records.read(target, begin + position),
  };
}

/** Records of a file in another order, which are read one by one. */
export class GatheredRecords implements RecordsFile {
  readonly length: number;
  readonly #source: RecordsFile;
  readonly #indices: Uint32Array;
  readonly #recordBytes: number;

  /** @param indices for each record, its index in the source */
  constructor(source: RecordsFile, indices: Uint32Array, recordBytes: number) {
    this.length = indices.length * recordBytes;
    this.#source = source;
    this.#indices = indices;
    this.#recordBytes = recordBytes;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    const bytes = this.#recordBytes;
    const reads: Promise<void>[] = [];
    for (let filled = 0; filled < target.length;) {
      const record = Math.floor((position + filled) / bytes);
      const offset = (position + filled) % bytes;
      const end = Math.min(target.length, filled + bytes - offset);
      reads.push(this.#source.read(target.subarray(filled, end), this.#indices[record] * bytes + offset));
      filled = end;
    }
    await Promise.all(reads);
  }
}
