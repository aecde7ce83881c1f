// The tokens of a coordinator that are kept in a file, read again when it changes: a token can be given or taken away
// while a run goes on.
import { readFileSync, statSync } from 'node:fs';
import type { Clock } from '../shared/clock.js';
import { LockstepError, messageOf, systemCodeOf } from '../shared/errors.js';
import { TokenTable } from './tokens.js';

/** Kubernetes replaces a mounted secret by swapping links, which file watching misses; looking does not. */
const lookEveryMs = 2_000;

export class TokenFile {
  #table: TokenTable;
  #version: string;
  readonly #file: string;

  /** Throws `bad-option` for a file that cannot be read or is no token file. */
  constructor(file: string) {
    this.#file = file;
    this.#version = versionOf(file);
    this.#table = TokenTable.parse(readTokenFile(file), file);
  }

  /** What the file held when it was last sound. */
  get table(): TokenTable {
    return this.#table;
  }

  /**
   * Looks at the file every two seconds until the returned function is called.
   * @param onChange is told in words that the tokens changed, or why they stay as they were
   */
  watch(clock: Clock, onChange: (message: string) => void): () => void {
    return clock.every(lookEveryMs, () => {
      const version = versionOf(this.#file);
      if (version === this.#version) return;
      this.#version = version;
      try {
        this.#table = TokenTable.parse(readTokenFile(this.#file), this.#file);
        onChange(`the tokens of ${this.#file} were read again`);
      } catch (error) {
        onChange(`the tokens stay as they were: ${messageOf(error)}`);
      }
    });
  }
}

/** A token file's text. Throws `bad-option` naming the file. Read at once: it is small, and nobody joins meanwhile. */
export function readTokenFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new LockstepError(
      'bad-option',
      `the token file ${file} cannot be read (${systemCodeOf(cause) ?? messageOf(cause)}): see --token-file`,
      { cause },
    );
  }
}

/** Another text whenever the file is another; empty while there is none. */
function versionOf(file: string): string {
  const status = statSync(file, { throwIfNoEntry: false });
  return status === undefined ? '' : `${status.ino} ${status.mtimeMs} ${status.size}`;
}
