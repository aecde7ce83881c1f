// Keeps the shards of a run that a worker has, complete or partial: small ones in memory, the others in files of its
// cache. They outlive the connection: an interrupted download resumes where it stopped, and a worker that rejoins still
// has its shards.
import type { RecordFormat } from '../../shared/dataset/record-format.js';
import { LockstepError, ProtocolError } from '../../shared/errors.js';
import { shardsBytesOf, type Shard } from '../../shared/protocol/messages.js';
import type { ShardCache, ShardFile } from './shard-cache.js';
import { DownloadToFile, DownloadToMemory, type ShardDownload } from './shard-download.js';
import { hasValidRecords, RecordsInFile, RecordsInMemory, type ShardRecords } from './shard-records.js';

/** Total size of the shards in memory. All of CIFAR-10 takes 184 MB. */
export const maxShardsBytesInMemory = 256 * 2 ** 20;
/** The same for a worker that cannot store shards in files. */
const defaultMemoryBytesWithoutFiles = 4 * 2 ** 30;

export class RunShards {
  readonly #cache: ShardCache;
  readonly #memoryBytes: number;
  readonly #memoryBytesWithoutFiles: number;
  readonly #complete = new Map<string, ShardRecords>();
  readonly #downloads = new Map<string, ShardDownload>();
  /** Sizes of the shards that are, or will be, in memory. */
  readonly #inMemory = new Map<string, number>();

  /** @param memoryBytes maximum total size of the shards in memory */
  constructor(
    cache: ShardCache,
    memoryBytes = maxShardsBytesInMemory,
    memoryBytesWithoutFiles = defaultMemoryBytesWithoutFiles,
  ) {
    this.#cache = cache;
    this.#memoryBytes = memoryBytes;
    this.#memoryBytesWithoutFiles = memoryBytesWithoutFiles;
  }

  /** Returns the hashes of the complete shards, and of those in the cache, some of which may turn out to be damaged. */
  async list(): Promise<string[]> {
    return [...new Set([...this.#complete.keys(), ...(await this.#cache.list())])];
  }

  get(sha256: string): ShardRecords | undefined {
    return this.#complete.get(sha256);
  }

  /** Prepares for a run with these shards, and drops all others. */
  startRun(shards: readonly Shard[]): void {
    const hashes = new Set(shards.map(({ sha256 }) => sha256));
    for (const sha256 of [...this.#complete.keys(), ...this.#downloads.keys()]) {
      if (!hashes.has(sha256)) this.#drop(sha256);
    }
    this.#cache.reserve(shardsBytesOf(shards));
  }

  /** Returns a shard from the cache, or undefined if it is missing or damaged. Throws ProtocolError for invalid labels. */
  async openCached(shard: Shard, format: RecordFormat): Promise<ShardRecords | undefined> {
    const { sha256, bytes } = shard;
    const file = await this.#cache.open(sha256, bytes);
    if (file === undefined) return undefined;
    try {
      const records = await this.#readCached(shard, format, file);
      if (records !== undefined) {
        this.#complete.set(sha256, records);
        return records;
      }
    } catch (error) {
      this.#inMemory.delete(sha256);
      file.close();
      throw error;
    }
    file.close();
    this.#inMemory.delete(sha256);
    await this.#cache.remove(sha256);
    return undefined;
  }

  /** Returns undefined if the file is damaged. */
  async #readCached(shard: Shard, format: RecordFormat, file: ShardFile): Promise<ShardRecords | undefined> {
    const { sha256, bytes } = shard;
    if (!this.#reserveMemory(sha256, bytes, this.#memoryBytes)) {
      return (await hasValidRecords(shard, format, file)) ? new RecordsInFile(file, bytes, format) : undefined;
    }
    const records = new Uint8Array(bytes);
    await file.read(records, 0);
    if (!(await hasValidRecords(shard, format, records))) return undefined;
    file.close();
    return new RecordsInMemory(records, format);
  }

  /**
   * Returns the partial download of a shard, or a new one. Throws `save-failed` if the shard does not fit in memory and
   * cannot be stored in a file.
   */
  async downloadOf({ sha256, bytes }: Shard): Promise<ShardDownload> {
    const download = this.#downloads.get(sha256);
    if (download?.bytes === bytes) return download;
    this.#drop(sha256);
    const started = await this.#startDownload(sha256, bytes);
    this.#downloads.set(sha256, started);
    return started;
  }

  async #startDownload(sha256: string, bytes: number): Promise<ShardDownload> {
    if (this.#reserveMemory(sha256, bytes, this.#memoryBytes)) return new DownloadToMemory(bytes);
    const file = await this.#cache.create(sha256, bytes);
    if (file !== undefined) return new DownloadToFile(bytes, file);
    if (this.#reserveMemory(sha256, bytes, this.#memoryBytesWithoutFiles)) return new DownloadToMemory(bytes);
    const mebibytes = (size: number) => `${Math.ceil(size / 2 ** 20)} MiB`;
    throw new LockstepError(
      'save-failed',
      `cannot store a shard of ${mebibytes(bytes)}: without a cache, this worker keeps at most ` +
        `${mebibytes(this.#memoryBytesWithoutFiles)} of shards in memory. Give it storage: a writable ` +
        'folder as `cache`, or, in a browser, free disk space',
    );
  }

  /**
   * Verifies a shard whose download is complete, and adds it to the cache. Throws ProtocolError if its data or a label is
   * invalid, and `save-failed` if it is in a file that cannot be kept.
   */
  async complete(shard: Shard, format: RecordFormat): Promise<ShardRecords> {
    const { sha256, bytes } = shard;
    const download = this.#downloads.get(sha256)!;
    try {
      const source = download.kind === 'memory' ? download.records : download.file;
      if (!(await hasValidRecords(shard, format, source))) {
        throw new ProtocolError(`the data of shard ${sha256} does not match its hash`);
      }
      if (download.kind === 'file') await download.file.keep();
    } catch (error) {
      this.#drop(sha256);
      throw error;
    }
    this.#downloads.delete(sha256);
    const records =
      download.kind === 'memory'
        ? new RecordsInMemory(download.records, format)
        : new RecordsInFile(download.file, bytes, format);
    this.#complete.set(sha256, records);
    if (download.kind === 'memory') await this.#cache.write(sha256, download.records);
    return records;
  }

  /** Releases all shards. The cache keeps those that are complete. */
  close(): void {
    for (const sha256 of [...this.#complete.keys(), ...this.#downloads.keys()]) this.#drop(sha256);
  }

  #drop(sha256: string): void {
    this.#complete.get(sha256)?.close();
    this.#downloads.get(sha256)?.discard();
    this.#complete.delete(sha256);
    this.#downloads.delete(sha256);
    this.#inMemory.delete(sha256);
  }

  /** Returns whether the shard fits in memory with the others, and if so, counts it. */
  #reserveMemory(sha256: string, bytes: number, limit: number): boolean {
    const used = [...this.#inMemory.values()].reduce((sum, size) => sum + size, 0);
    if (used + bytes > limit) return false;
    this.#inMemory.set(sha256, bytes);
    return true;
  }
}
