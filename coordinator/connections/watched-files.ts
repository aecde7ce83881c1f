// Files that are read again when they change, while a run goes on.
import { statSync } from 'node:fs';
import type { Clock } from '../../shared/clock.js';

/** Kubernetes replaces a mounted secret by swapping links, which file watching misses; looking does not. */
const lookEveryMs = 2_000;

export class WatchedFiles {
  readonly #files: readonly string[];
  #version: string;

  /** To be made before the files are read for the first time, so that no change is missed. */
  constructor(files: readonly string[]) {
    this.#files = files;
    this.#version = this.#versionNow();
  }

  /** Looks every two seconds until the returned function is called, and calls back where a file is another. */
  watch(clock: Clock, onChange: () => void): () => void {
    return clock.every(lookEveryMs, () => {
      const version = this.#versionNow();
      if (version === this.#version) return;
      this.#version = version;
      onChange();
    });
  }

  /** Another text whenever a file is another; empty for one that is not there. */
  #versionNow(): string {
    const versions = this.#files.map((file) => {
      const status = statSync(file, { throwIfNoEntry: false });
      return status === undefined ? '' : `${status.ino} ${status.mtimeMs} ${status.size}`;
    });
    return versions.join();
  }
}
