// Appends lines to a file. Lines that cannot be written, for example because the disk is full, are kept and tried again with
// the next one.
import { open, type FileHandle } from 'node:fs/promises';

export class JsonLinesFile {
  readonly #file: string;
  readonly #onError: (error: unknown) => void;
  #handle: FileHandle | undefined;
  /** Length of the complete lines in the file. What a failed write left after them is overwritten. */
  #writtenBytes: number;
  #pending = '';
  #writing: Promise<void> | undefined;
  #error: unknown;

  /**
   * @param file must exist
   * @param writtenBytes its length
   * @param onError called when lines cannot be written, and not again before a write has succeeded
   */
  constructor(file: string, writtenBytes: number, onError: (error: unknown) => void) {
    this.#file = file;
    this.#writtenBytes = writtenBytes;
    this.#onError = onError;
  }

  /** Length of the file once all lines so far are written. */
  get bytes(): number {
    return this.#writtenBytes + Buffer.byteLength(this.#pending);
  }

  add(line: string): void {
    this.#pending += `${line}\n`;
    this.#writing ??= this.#writePending();
  }

  /** Resolves when all lines so far are written, or cannot be written now. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#pending === '') return;
    this.#writing ??= this.#writePending();
    await this.#writing;
  }

  /** Waits for the last line. Throws the error that kept lines from being written. */
  async close(): Promise<void> {
    await this.flush();
    await this.#handle?.close();
    if (this.#error !== undefined) throw this.#error;
  }

  /** Must not be called without pending lines: it would clear #writing before the caller has set it. */
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
      // Opening the file again may help. Closing a broken handle may fail too, which adds no information.
      await this.#handle?.close().catch(() => undefined);
      this.#handle = undefined;
    } finally {
      this.#writing = undefined;
    }
  }
}
