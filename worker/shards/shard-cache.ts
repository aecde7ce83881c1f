// Shards of the data set on the worker's disk, by their hash, verified on read: what came once need not come again.
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { messageOf, systemCodeOf } from '../../shared/errors.js';

const fileName = /^([0-9a-f]{64})\.bin$/;
/** Shards differ with the seed, so a cache would grow with every new run. CIFAR-10 is 184 MB. */
const defaultLimitBytes = 2 * 1024 ** 3;

export interface CacheOptions {
  /** The shards used longest ago are removed where all together are larger. */
  limitBytes?: number;
  /** Called at the first failure of the disk. A cache that fails is one with nothing in it: nobody else need care. */
  onTrouble?: (message: string) => void;
}

export class ShardCache {
  readonly #directory: string | null;
  readonly #limitBytes: number;
  readonly #onTrouble: (message: string) => void;
  #hasTrouble = false;

  /** @param directory null for no cache on disk */
  constructor(directory: string | null, { limitBytes = defaultLimitBytes, onTrouble = () => {} }: CacheOptions = {}) {
    this.#directory = directory;
    this.#limitBytes = limitBytes;
    this.#onTrouble = onTrouble;
  }

  /** The hashes of the shards that are there; not verified yet. */
  async list(): Promise<string[]> {
    if (this.#directory === null) return [];
    try {
      const names = await readdir(this.#directory);
      return names.flatMap((name) => fileName.exec(name)?.[1] ?? []);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') this.#tellTrouble(error);
      return [];
    }
  }

  /** A shard's records, or undefined where they are not there or are no longer what their name says. */
  async read(sha256: string): Promise<Uint8Array | undefined> {
    if (this.#directory === null) return undefined;
    const file = this.#pathOf(this.#directory, sha256);
    try {
      const records = await readFile(file);
      if (sha256Of(records) === sha256) {
        await markUsed(file);
        return records;
      }
      await rm(file, { force: true });
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') this.#tellTrouble(error);
    }
    return undefined;
  }

  /** Keeps a shard. Written aside and renamed, so that two workers of one folder do not meet half a file. */
  async write(sha256: string, records: Uint8Array): Promise<void> {
    if (this.#directory === null) return;
    const file = this.#pathOf(this.#directory, sha256);
    const aside = path.join(this.#directory, `${sha256}.${randomUUID()}.partial`);
    try {
      await mkdir(this.#directory, { recursive: true });
      try {
        await writeFile(aside, records);
        await rename(aside, file);
      } finally {
        await rm(aside, { force: true });
      }
      await this.#removeOldest(this.#directory);
    } catch (error) {
      this.#tellTrouble(error);
    }
  }

  #tellTrouble(error: unknown): void {
    if (this.#hasTrouble) return;
    this.#hasTrouble = true;
    this.#onTrouble(`${String(this.#directory)} cannot be used (${messageOf(error)})`);
  }

  async #removeOldest(directory: string): Promise<void> {
    const shards = await Promise.all(
      (await this.list()).map(async (sha256) => {
        const file = this.#pathOf(directory, sha256);
        // Another worker of this folder may be removing it too.
        const status = await stat(file).catch(ignoreMissing);
        return { file, bytes: status?.size ?? 0, usedMs: status?.mtimeMs ?? 0 };
      }),
    );
    let bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    for (const shard of shards.toSorted((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= this.#limitBytes) return;
      await rm(shard.file, { force: true });
      bytes -= shard.bytes;
    }
  }

  #pathOf(directory: string, sha256: string): string {
    const name = `${sha256}.bin`;
    // The hash comes from the network; the protocol's parser lets nothing else through, and neither does this.
    if (!fileName.test(name)) throw new RangeError(`not a SHA-256: ${sha256}`);
    return path.join(directory, name);
  }
}

/** A file's modification time says when it was used last: access times are often not kept. */
async function markUsed(file: string): Promise<void> {
  const now = new Date();
  await utimes(file, now, now).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): undefined {
  if (systemCodeOf(error) !== 'ENOENT') throw error;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
