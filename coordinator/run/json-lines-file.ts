// Appends lines to a file. Lines that cannot be written, for example because the disk is full, are kept and written
// along with the next line.
import { open, type FileHandle } from 'node:fs/promises';

export class JsonLinesFile {
  readonly #file: string;
  readonly #onError: (error: unknown) => void;
  #handle: FileHandle | undefined;
  /** Length in bytes of the complete lines in the file. The remains of a failed write after them are overwritten. */
  #writtenBytes: number;
  #pending = '';
  #writing: Promise<void> | undefined;
  #error: unknown;

  /**
   * @param file path of an existing file
   * @param writtenBytes length of the file in bytes
   * @param onError called when lines cannot be written; not called again until a write has succeeded
   */
  constructor(file: string, writtenBytes: number, onError: (error: unknown) => void) {
    this.#file = file;
    this.#writtenBytes = writtenBytes;
    this.#onError = onError;
  }

  /** Length of the file in bytes once all lines so far have been written. */
  get bytes(): number {
    return this.#writtenBytes + Buffer.byteLength(this.#pending);
  }

  add(line: string): void {
    this.#pending += `${line}\n`;
    this.#writing ??= this.#writePending();
  }

  /** Resolves when all lines so far have been written, or when writing them has failed. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#pending === '') return;
    this.#writing ??= this.#writePending();
    await this.#writing;
  }

  /**
   * Waits until all lines have been written, and closes the file. Throws the error that prevented lines from being
   * written.
   */
  async close(): Promise<void> {
    await this.flush();
    await this.#handle?.close();
    if (this.#error !== undefined) throw this.#error;
  }

  /**
   * Writes the pending lines. Must not be called when there are none: it would then clear #writing before the caller
   * has set it.
   */
  async #writePending(): Promise<void> {
    try {
      this.#handle ??= await open(this.#file, 'r+');
      while (this.#pending !== '') {
        const text = this.#pending;
        const bytes = Buffer.from(text);
        for (let done = 0; done < bytes.length;) {
          const rest = bytes.length - done;
          done += (await this.#handle.write(bytes, done, rest, this.#writtenBytes + done)).bytesWritten;
        }
        this.#writtenBytes += bytes.length;
        this.#pending = this.#pending.slice(text.length);
        this.#error = undefined;
      }
    } catch (error) {
      if (this.#error === undefined) this.#onError(error);
      this.#error = error;
      // Reopening the file may help. Closing a broken handle may fail as well; that error adds no information.
      await this.#handle?.close().catch(() => undefined);
      this.#handle = undefined;
    } finally {
      this.#writing = undefined;
    }
  }
}
