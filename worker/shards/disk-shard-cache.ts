// Caches shards on the worker's disk. Files are named by SHA-256; whoever opens one verifies it.
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import type { NewShardFile, ShardCache, ShardFile } from './shard-cache.js';
import { DiskShardFile, NewDiskShardFile } from './disk-shard-file.js';

const fileName = /^([0-9a-f]{64})\.bin$/;
const partialFileName = /^[0-9a-f]{64}\.[0-9a-f-]{36}\.partial$/;
/**
 * Default maximum size of the cache, in addition to the shards of the current run. Shards depend on the seed, so runs
 * with new seeds keep adding shards. CIFAR-10 takes 184 MB.
 */
const defaultLimitBytes = 2 * 1024 ** 3;
/** A partial file that has not been written to for this long was left behind by a process that was killed. */
const abandonedAfterMs = 24 * 3_600_000;

export class DiskShardCache implements ShardCache {
  readonly #directory: string;
  readonly #limitBytes: number;
  readonly #onFailure: (message: string) => void;
  #reservedBytes = 0;
  #hasFailed = false;

  /**
   * @param onFailure called at the first disk error; operations that fail behave as if the cache were empty
   * @param limitBytes total size of the shards of other runs, above which the least recently used ones are removed
   */
  constructor(directory: string, onFailure: (message: string) => void, limitBytes = defaultLimitBytes) {
    this.#directory = directory;
    this.#limitBytes = limitBytes;
    this.#onFailure = onFailure;
  }

  async list(): Promise<string[]> {
    try {
      const names = await readdir(this.#directory);
      return names.flatMap((name) => fileName.exec(name)?.[1] ?? []);
    } catch (error) {
      this.#reportUnlessMissing(error);
      return [];
    }
  }

  async open(sha256: string, bytes: number): Promise<ShardFile | undefined> {
    const location = this.#pathOf(sha256);
    try {
      const file = new DiskShardFile(location);
      if (file.size !== bytes) {
        file.close();
        await rm(location, { force: true });
        return undefined;
      }
      await markUsed(location);
      return file;
    } catch (error) {
      this.#reportUnlessMissing(error);
      return undefined;
    }
  }

  async create(sha256: string): Promise<NewShardFile | undefined> {
    const location = this.#pathOf(sha256);
    try {
      await mkdir(this.#directory, { recursive: true });
      await this.#removeAbandoned();
      return new NewDiskShardFile(this.#temporaryPathOf(sha256), location, () => this.#removeLeastRecentlyUsed());
    } catch (error) {
      this.#report(error);
      return undefined;
    }
  }

  async remove(sha256: string): Promise<void> {
    await rm(this.#pathOf(sha256), { force: true });
  }

  reserve(bytes: number): void {
    this.#reservedBytes = bytes;
  }

  /** Writes a temporary file and then renames it, so that workers sharing the folder never read a partial file. */
  async write(sha256: string, records: Uint8Array): Promise<void> {
    const file = this.#pathOf(sha256);
    const temporary = this.#temporaryPathOf(sha256);
    try {
      await mkdir(this.#directory, { recursive: true });
      try {
        await writeFile(temporary, records);
        await rename(temporary, file);
      } finally {
        await rm(temporary, { force: true });
      }
      await this.#removeLeastRecentlyUsed();
    } catch (error) {
      this.#report(error);
    }
  }

  /** Reports the first failure only. */
  #report(error: unknown): void {
    if (!this.#hasFailed) this.#onFailure(`cannot use the shard cache ${this.#directory} (${messageOf(error)})`);
    this.#hasFailed = true;
  }

  #reportUnlessMissing(error: unknown): void {
    if (systemCodeOf(error) !== 'ENOENT') this.#report(error);
  }

  async #removeLeastRecentlyUsed(): Promise<void> {
    const shards = await Promise.all(
      (await this.list()).map(async (sha256) => {
        const file = this.#pathOf(sha256);
        // Another worker may have removed the file in the meantime.
        const status = await stat(file).catch(ignoreMissing);
        return { file, bytes: status?.size ?? 0, usedMs: status?.mtimeMs ?? 0 };
      }),
    );
    let bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    for (const shard of shards.toSorted((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= this.#limitBytes + this.#reservedBytes) return;
      await rm(shard.file, { force: true });
      bytes -= shard.bytes;
    }
  }

  async #removeAbandoned(): Promise<void> {
    const names = await readdir(this.#directory);
    for (const name of names.filter((each) => partialFileName.test(each))) {
      const file = path.join(this.#directory, name);
      const status = await stat(file).catch(ignoreMissing);
      if (status !== undefined && Date.now() - status.mtimeMs > abandonedAfterMs) await rm(file, { force: true });
    }
  }

  #temporaryPathOf(sha256: string): string {
    return path.join(this.#directory, `${sha256}.${randomUUID()}.partial`);
  }

  #pathOf(sha256: string): string {
    const name = `${sha256}.bin`;
    // The hash comes from the network. The parser has already validated it; check it again before it becomes part of a
    // path.
    if (!fileName.test(name)) throw new RangeError(`not a SHA-256: ${sha256}`);
    return path.join(this.#directory, name);
  }
}

/** Records that a file was used in its modification time, because many systems do not update access times. */
async function markUsed(file: string): Promise<void> {
  const now = new Date();
  await utimes(file, now, now).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): undefined {
  if (systemCodeOf(error) !== 'ENOENT') throw error;
}
