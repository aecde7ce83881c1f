// Pieces of the data set on the worker's disk, by their hash, verified on read: what came once need not come again.
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { systemCodeOf } from '../shared/errors.js';

const fileName = /^([0-9a-f]{64})\.bin$/;

export class ShardCache {
  readonly #directory: string | null;

  /** @param directory null for no cache on disk */
  constructor(directory: string | null) {
    this.#directory = directory;
  }

  /** The hashes of the pieces that are there; not verified yet. */
  async list(): Promise<string[]> {
    if (this.#directory === null) return [];
    try {
      const names = await readdir(this.#directory);
      return names.flatMap((name) => fileName.exec(name)?.[1] ?? []);
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return [];
      throw error;
    }
  }

  /** A piece's records, or undefined where they are not there or are no longer what their name says. */
  async read(sha256: string): Promise<Uint8Array | undefined> {
    if (this.#directory === null) return undefined;
    const file = this.#pathOf(this.#directory, sha256);
    let records: Buffer;
    try {
      records = await readFile(file);
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    if (sha256Of(records) === sha256) return records;
    await rm(file, { force: true });
    return undefined;
  }

  /** Keeps a piece. Written aside and renamed, so that two workers of one folder do not meet half a file. */
  async write(sha256: string, records: Uint8Array): Promise<void> {
    if (this.#directory === null) return;
    await mkdir(this.#directory, { recursive: true });
    const aside = path.join(this.#directory, `${sha256}.${randomUUID()}.partial`);
    try {
      await writeFile(aside, records);
      await rename(aside, this.#pathOf(this.#directory, sha256));
    } finally {
      await rm(aside, { force: true });
    }
  }

  #pathOf(directory: string, sha256: string): string {
    const name = `${sha256}.bin`;
    // The hash comes from the network; the protocol's parser lets nothing else through, and neither does this.
    if (!fileName.test(name)) throw new RangeError(`not a SHA-256: ${sha256}`);
    return path.join(directory, name);
  }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
