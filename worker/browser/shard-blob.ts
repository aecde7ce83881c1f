// A stored shard. Any number of tabs can read it at the same time.
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { ShardFile } from '../shards/shard-cache.js';

export class ShardBlob implements ShardFile {
  readonly #contents: Blob;

  constructor(contents: Blob) {
    this.#contents = contents;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    const part = this.#contents.slice(position, position + target.length);
    target.set(new Uint8Array(await part.arrayBuffer().catch(rethrowAsChanged)));
  }

  close(): void {
    // Nothing to release.
  }
}

/** A browser does not read a file that was changed after it was opened. */
function rethrowAsChanged(error: unknown): never {
  const problem = `a shard cannot be read from the browser's storage (${messageOf(error)})`;
  throw new LockstepError(
    'engine-failed',
    `${problem}: it was changed or deleted while it was in use. Reload the page`,
    {
      cause: error,
    },
  );
}
