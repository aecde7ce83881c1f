// The records of one shard, in memory or in a file. They are verified once, when they have arrived or when the file is
// opened.
import type { ImageBatch } from '../../shared/dataset/image-batch.js';
import { firstInvalidLabel, labelAt, type RecordFormat } from '../../shared/dataset/record-format.js';
import { ProtocolError } from '../../shared/errors.js';
import { host } from '../../shared/platform/host.js';
import type { Shard } from '../../shared/protocol/messages.js';
import type { ShardFile } from './shard-cache.js';

/** Number of bytes that are in memory while a file is verified; more if a record is larger. */
const verificationBytes = 4 << 20;

export interface ShardRecords {
  readonly count: number;
  /** Returns a buffer that contains the records at these indices, and their indices in the buffer. */
  read(indices: Uint32Array): Promise<Pick<ImageBatch, 'records' | 'indices'>>;
  /** Fills `target` with the bytes from this position on. */
  readBytes(target: Uint8Array, position: number): Promise<void>;
  close(): void;
}

/** Reads all records, in order. */
export async function readAll(shard: ShardRecords): Promise<Pick<ImageBatch, 'records' | 'indices'>> {
  return shard.read(Uint32Array.from({ length: shard.count }, (_, index) => index));
}

export class RecordsInMemory implements ShardRecords {
  readonly count: number;
  readonly #records: Uint8Array;

  constructor(records: Uint8Array, { recordBytes }: RecordFormat) {
    this.count = records.length / recordBytes;
    this.#records = records;
  }

  read(indices: Uint32Array): Promise<Pick<ImageBatch, 'records' | 'indices'>> {
    return Promise.resolve({ records: this.#records, indices });
  }

  readBytes(target: Uint8Array, position: number): Promise<void> {
    target.set(this.#records.subarray(position, position + target.length));
    return Promise.resolve();
  }

  close(): void {
    // Nothing to release.
  }
}

export class RecordsInFile implements ShardRecords {
  readonly count: number;
  readonly #file: ShardFile;
  readonly #recordBytes: number;

  constructor(file: ShardFile, bytes: number, { recordBytes }: RecordFormat) {
    this.count = bytes / recordBytes;
    this.#file = file;
    this.#recordBytes = recordBytes;
  }

  /** Reads only these records; consecutive ones at once. */
  async read(indices: Uint32Array): Promise<Pick<ImageBatch, 'records' | 'indices'>> {
    const bytes = this.#recordBytes;
    const records = new Uint8Array(indices.length * bytes);
    const reads: Promise<void>[] = [];
    for (let first = 0, end = 1; first < indices.length; first = end++) {
      while (end < indices.length && indices[end] === indices[end - 1] + 1) end++;
      reads.push(this.#file.read(records.subarray(first * bytes, end * bytes), indices[first] * bytes));
    }
    await Promise.all(reads);
    return { records, indices: Uint32Array.from(indices.keys()) };
  }

  readBytes(target: Uint8Array, position: number): Promise<void> {
    return this.#file.read(target, position);
  }

  close(): void {
    this.#file.close();
  }
}

/**
 * Returns whether the bytes have the shard's hash. Throws ProtocolError if they have, but a label is not a valid class,
 * because engines use labels as array indices.
 */
export async function hasValidRecords(
  shard: Shard,
  format: RecordFormat,
  source: Uint8Array<ArrayBuffer> | ShardFile,
): Promise<boolean> {
  const { sha256, problem } = await (source instanceof Uint8Array
    ? { sha256: await host.sha256Of(source), problem: labelProblem(shard, format, source, 0) }
    : verifyFile(shard, format, source));
  if (sha256 !== shard.sha256) return false;
  if (problem !== undefined) throw new ProtocolError(problem);
  return true;
}

async function verifyFile(
  shard: Shard,
  format: RecordFormat,
  file: ShardFile,
): Promise<{ sha256: string; problem: string | undefined }> {
  const { bytes } = shard;
  const { recordBytes } = format;
  const hash = host.createSha256();
  const step = Math.max(1, Math.floor(verificationBytes / recordBytes)) * recordBytes;
  const buffer = new Uint8Array(Math.min(step, bytes));
  let problem: string | undefined;
  for (let position = 0; position < bytes; position += step) {
    const records = buffer.subarray(0, Math.min(step, bytes - position));
    await file.read(records, position);
    hash.update(records);
    problem ??= labelProblem(shard, format, records, position);
  }
  return { sha256: hash.digest(), problem };
}

/** Describes the first invalid label. @param position offset of the records in the shard */
function labelProblem(
  { split, index }: Shard,
  format: RecordFormat,
  records: Uint8Array,
  position: number,
): string | undefined {
  const image = firstInvalidLabel(records, format);
  if (image === undefined) return undefined;
  const label = labelAt(records, image, format);
  return `image ${position / format.recordBytes + image} of ${split} shard ${index} has the invalid label ${label}`;
}
