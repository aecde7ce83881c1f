// The records of a packed dataset that is too large for the memory, read from their file as needed.
import { closeSync, openSync, read } from 'node:fs';
import { promisify } from 'node:util';
import type { RecordsFile } from '../../shared/dataset/records.js';
import { badData } from '../file-bytes.js';

const readAt = promisify(read);
/** Closes the files of datasets that are not used anymore. */
const unused = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));

export class RecordsOnDisk implements RecordsFile {
  readonly length: number;
  readonly #file: string;
  readonly #descriptor: number;

  /** @param length size of the file */
  constructor(file: string, length: number) {
    this.length = length;
    this.#file = file;
    this.#descriptor = openSync(file, 'r');
    unused.register(this, this.#descriptor);
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    for (let filled = 0; filled < target.length;) {
      const { bytesRead } = await readAt(this.#descriptor, target, filled, target.length - filled, position + filled);
      if (bytesRead === 0)
        throw badData(`${this.#file} ends at byte ${position + filled}: it was changed during the run`);
      filled += bytesRead;
    }
  }
}
