// Watches files that are reloaded when they change during a run.
import { statSync } from 'node:fs';
import type { Clock } from '../../shared/clock.js';

/**
 * Interval between checks. The files are polled because this also detects updates to mounted Kubernetes secrets, whose
 * symbolic links are replaced.
 */
const pollIntervalMs = 2_000;

export class WatchedFiles {
  readonly #files: readonly string[];
  #version: string;

  /** Construct this before the files are read for the first time, so that no change is missed. */
  constructor(files: readonly string[]) {
    this.#files = files;
    this.#version = this.#currentVersion();
  }

  /** Calls `onChange` within two seconds of each change, until the returned function is called. */
  watch(clock: Clock, onChange: () => void): () => void {
    return clock.every(pollIntervalMs, () => {
      const version = this.#currentVersion();
      if (version === this.#version) return;
      this.#version = version;
      onChange();
    });
  }

  /** Returns a string that changes whenever one of the files changes, appears or disappears. */
  #currentVersion(): string {
    const versions = this.#files.map((file) => {
      const status = statSync(file, { throwIfNoEntry: false });
      return status === undefined ? '' : `${status.ino} ${status.mtimeMs} ${status.size}`;
    });
    return versions.join();
  }
}
