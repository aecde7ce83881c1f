// The tokens of a coordinator that are kept in a file, read again when it changes: a token can be given or taken away
// while a run goes on.
import { readFileSync } from 'node:fs';
import type { Clock } from '../../shared/clock.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { TokenTable } from './tokens.js';
import { WatchedFiles } from './watched-files.js';

export class TokenFile {
  #table: TokenTable;
  readonly #file: string;
  readonly #watched: WatchedFiles;

  /** Throws `bad-option` for a file that cannot be read or is no token file. */
  constructor(file: string) {
    this.#file = file;
    this.#watched = new WatchedFiles([file]);
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
    return this.#watched.watch(clock, () => {
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
