// The coordinator's token file. It is reloaded when it changes, so that tokens can be added and revoked during a run.
import { readFileSync } from 'node:fs';
import type { Clock } from '../../shared/clock.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { TokenTable } from './tokens.js';
import { WatchedFiles } from './watched-files.js';

export class TokenFile {
  #table: TokenTable;
  readonly #file: string;
  readonly #watched: WatchedFiles;

  /** Throws `bad-option` if the file cannot be read or is not a token file. */
  constructor(file: string) {
    this.#file = file;
    this.#watched = new WatchedFiles([file]);
    this.#table = TokenTable.parse(readTokenFile(file), file);
  }

  /** Tokens from the last valid version of the file. */
  get table(): TokenTable {
    return this.#table;
  }

  /**
   * Reloads the file when it changes, until the returned function is called.
   * @param onChange receives a log message: the tokens were reloaded, or why they were not
   */
  watch(clock: Clock, onChange: (message: string) => void): () => void {
    return this.#watched.watch(clock, () => {
      try {
        this.#table = TokenTable.parse(readTokenFile(this.#file), this.#file);
        onChange(`reloaded the tokens of ${this.#file}`);
      } catch (error) {
        onChange(`kept the previous tokens: ${messageOf(error)}`);
      }
    });
  }
}

/** Returns a token file's text. Throws `bad-option` naming the file. Synchronous, because the file is small. */
export function readTokenFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const reason = systemCodeOf(cause) ?? messageOf(cause);
    throw new LockstepError('bad-option', `\`tokenFile\` is ${file}: it cannot be read (${reason})`, { cause });
  }
}
