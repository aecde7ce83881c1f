// Stores shards in the origin private file system. Works in Web Workers only, because pages cannot access its files
// synchronously.
import { findFile, removeFile } from './opfs-files.js';
import { OpfsPartialFile } from './opfs-partial-file.js';
import type { ShardStore, StoredShard } from './shard-store.js';

const folderName = 'lockstep-shards';
const fileName = /^([0-9a-f]{64})\.bin$/;
const partialFileName = /^[0-9a-f]{64}\.[0-9a-f-]{36}\.partial$/;
/**
 * A partial file that no tab has open, and that has not been written to for this long, was left behind by a tab that was
 * closed. Other partial files are not open for a moment before they are moved.
 */
const abandonedAfterMs = 60_000;

export class OpfsShardStore implements ShardStore {
  readonly #folder: FileSystemDirectoryHandle;

  private constructor(folder: FileSystemDirectoryHandle) {
    this.#folder = folder;
  }

  /** Throws the browser's error where there is no such file system, as in a private window of Firefox. */
  static async open(): Promise<OpfsShardStore> {
    const root = await navigator.storage.getDirectory();
    return new OpfsShardStore(await root.getDirectoryHandle(folderName, { create: true }));
  }

  async list(): Promise<StoredShard[]> {
    const shards: (StoredShard & { storedMs: number })[] = [];
    for await (const [name, file] of this.#filesNamed(fileName)) {
      shards.push({ sha256: fileName.exec(name)![1], bytes: file.size, storedMs: file.lastModified });
    }
    return shards.toSorted((a, b) => a.storedMs - b.storedMs);
  }

  open(sha256: string): Promise<File | undefined> {
    return findFile(this.#folder, `${sha256}.bin`);
  }

  async create(sha256: string, bytes: number): Promise<OpfsPartialFile> {
    await this.#removeAbandoned();
    const names = { temporary: `${sha256}.${crypto.randomUUID()}.partial`, final: `${sha256}.bin` };
    return OpfsPartialFile.create(this.#folder, names, bytes);
  }

  async write(sha256: string, records: Uint8Array): Promise<void> {
    const file = await this.create(sha256, records.length);
    try {
      file.write(records, 0);
      await file.keep();
    } finally {
      file.close();
    }
  }

  async remove(sha256: string): Promise<void> {
    await removeFile(this.#folder, `${sha256}.bin`);
  }

  async #removeAbandoned(): Promise<void> {
    for await (const [name, file] of this.#filesNamed(partialFileName)) {
      if (Date.now() - file.lastModified > abandonedAfterMs) await removeFile(this.#folder, name);
    }
  }

  async *#filesNamed(pattern: RegExp): AsyncGenerator<[string, File]> {
    for await (const name of this.#folder.keys()) {
      // Another tab may have removed the file in the meantime.
      const file = pattern.test(name) ? await findFile(this.#folder, name) : undefined;
      if (file !== undefined) yield [name, file];
    }
  }
}
