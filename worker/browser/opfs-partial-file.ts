// A shard that is being written to the origin private file system. Until it is kept, it has a temporary name.
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { NewShardFile } from '../shards/shard-cache.js';
import { findFile, moveFile, removeFile, resize, writeFully } from './opfs-files.js';
import { ShardBlob } from './shard-blob.js';

export interface PartialFileNames {
  temporary: string;
  /** Name of the file when it is kept. */
  final: string;
}

export class OpfsPartialFile implements NewShardFile {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #names: PartialFileNames;
  /** While this is open, other tabs cannot remove the file. */
  readonly #access: FileSystemSyncAccessHandle;
  readonly #bytes: number;
  /** The file in the cache, if this one was moved there. */
  #kept: ShardBlob | undefined;

  private constructor(
    folder: FileSystemDirectoryHandle,
    names: PartialFileNames,
    access: FileSystemSyncAccessHandle,
    bytes: number,
  ) {
    this.#folder = folder;
    this.#names = names;
    this.#access = access;
    this.#bytes = bytes;
  }

  /** Creates a file of this size. Throws the browser's error if the storage has no room for it. */
  static async create(
    folder: FileSystemDirectoryHandle,
    names: PartialFileNames,
    bytes: number,
  ): Promise<OpfsPartialFile> {
    const handle = await folder.getFileHandle(names.temporary, { create: true });
    const access = await handle.createSyncAccessHandle();
    try {
      resize(access, bytes);
    } catch (error) {
      access.close();
      await removeFile(folder, names.temporary);
      throw error;
    }
    return new OpfsPartialFile(folder, names, access, bytes);
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    if (this.#kept === undefined) this.#access.read(target, { at: position });
    else await this.#kept.read(target, position);
  }

  write(chunk: Uint8Array, position: number): void {
    try {
      writeFully(this.#access, chunk, position);
    } catch (error) {
      throw failure(error);
    }
  }

  /**
   * Moves the file to the cache, unless another tab has stored the shard in the meantime, or is about to. Then this file
   * stays temporary: browsers stop reading a file that is replaced.
   */
  async keep(): Promise<void> {
    const { temporary, final } = this.#names;
    try {
      await navigator.locks.request(`lockstep-shards/${final}`, { ifAvailable: true }, async (lock) => {
        if (lock === null || (await findFile(this.#folder, final))?.size === this.#bytes) return;
        this.#access.close();
        await moveFile(this.#folder, temporary, final);
        this.#kept = new ShardBlob((await findFile(this.#folder, final))!);
      });
    } catch (error) {
      throw failure(error);
    }
  }

  close(): void {
    if (this.#kept !== undefined) return;
    this.#access.close();
    // If this fails, the file counts as abandoned and is removed later.
    removeFile(this.#folder, this.#names.temporary).catch(() => undefined);
  }

  discard(): void {
    this.close();
  }
}

function failure(error: unknown): LockstepError {
  const problem = `cannot store a shard in the browser's storage (${messageOf(error)})`;
  return new LockstepError('save-failed', `${problem}: free some disk space, and reload the page`, { cause: error });
}
