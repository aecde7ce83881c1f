// Files of the shard cache on disk, read and written at given positions.
import { closeSync, fstatSync, openSync, read, rmSync, writeSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { NewShardFile, ShardFile } from './shard-cache.js';

const readAt = promisify(read);

/** Maximum number of bytes per read. Node.js cannot read 2 GiB or more at once. */
const maxBytesPerRead = 2 ** 30;

export class DiskShardFile implements ShardFile {
  readonly #location: string;
  protected readonly descriptor: number;

  /** Throws the error of the file system if the file cannot be opened. */
  constructor(location: string, flags: 'r' | 'wx+' = 'r') {
    this.#location = location;
    this.descriptor = openSync(location, flags);
  }

  get size(): number {
    return fstatSync(this.descriptor).size;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    for (let filled = 0; filled < target.length;) {
      const length = Math.min(target.length - filled, maxBytesPerRead);
      const { bytesRead } = await readAt(this.descriptor, target, filled, length, position + filled);
      if (bytesRead === 0) {
        throw new LockstepError(
          'engine-failed',
          `${this.#location} ends at byte ${position + filled}: it was changed while it was in use. Start the worker again`,
        );
      }
      filled += bytesRead;
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

export class NewDiskShardFile extends DiskShardFile implements NewShardFile {
  readonly #temporary: string;
  readonly #location: string;
  readonly #onKept: () => Promise<void>;

  /** @param onKept called when the file has been moved from `temporary` to `location` */
  constructor(temporary: string, location: string, onKept: () => Promise<void>) {
    super(temporary, 'wx+');
    this.#temporary = temporary;
    this.#location = location;
    this.#onKept = onKept;
  }

  /** Writes synchronously, so that bytes which arrive faster than the disk stores them do not fill the memory. */
  write(chunk: Uint8Array, position: number): void {
    try {
      for (let written = 0; written < chunk.length;) {
        written += writeSync(this.descriptor, chunk, written, chunk.length - written, position + written);
      }
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async keep(): Promise<void> {
    try {
      await rename(this.#temporary, this.#location);
      await this.#onKept();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  discard(): void {
    this.close();
    rmSync(this.#temporary, { force: true });
  }

  #failure(error: unknown): LockstepError {
    const folder = path.dirname(this.#location);
    return new LockstepError(
      'save-failed',
      `cannot store a shard in ${folder} (${messageOf(error)}): free some disk space, or specify another folder with ` +
        '`cache`',
      { cause: error },
    );
  }
}
