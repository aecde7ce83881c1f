// A file of lines that grows while a run goes on. What cannot be written, for a full disk say, is kept and tried again.
import { open, type FileHandle } from 'node:fs/promises';

export class JsonLinesFile {
  readonly #file: string;
  readonly #onTrouble: (error: unknown) => void;
  #handle: FileHandle | undefined;
  /** Whole lines in the file. Half a line behind them, of a write that failed, is overwritten. */
  #writtenBytes: number;
  #waiting = '';
  #writing: Promise<void> | undefined;
  #trouble: unknown;

  /**
   * @param file must be there
   * @param writtenBytes how long it is
   * @param onTrouble told when lines cannot be written, and again only after they could be
   */
  constructor(file: string, writtenBytes: number, onTrouble: (error: unknown) => void) {
    this.#file = file;
    this.#writtenBytes = writtenBytes;
    this.#onTrouble = onTrouble;
  }

  /** How long the file is once every line so far is in it. */
  get bytes(): number {
    return this.#writtenBytes + Buffer.byteLength(this.#waiting);
  }

  add(line: string): void {
    this.#waiting += `${line}\n`;
    this.#writing ??= this.#writeWaiting();
  }

  /** Resolves when every line so far is in the file, or cannot be written now. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#waiting === '') return;
    this.#writing ??= this.#writeWaiting();
    await this.#writing;
  }

  /** Waits for the last line. Throws what kept lines from being written. */
  async close(): Promise<void> {
    await this.flush();
    await this.#handle?.close();
    if (this.#trouble !== undefined) throw this.#trouble;
  }

  /** To be called with something to write: it must not end before its promise is kept. */
  async #writeWaiting(): Promise<void> {
    try {
      this.#handle ??= await open(this.#file, 'r+');
      while (this.#waiting !== '') {
        const text = this.#waiting;
        const bytes = Buffer.from(text);
        for (let done = 0; done < bytes.length;) {
          const rest = bytes.length - done;
          done += (await this.#handle.write(bytes, done, rest, this.#writtenBytes + done)).bytesWritten;
        }
        this.#writtenBytes += bytes.length;
        this.#waiting = this.#waiting.slice(text.length);
        this.#trouble = undefined;
      }
    } catch (error) {
      if (this.#trouble === undefined) this.#onTrouble(error);
      this.#trouble = error;
      // A file that is opened anew may do better. That closing the old one fails too tells nothing new.
      await this.#handle?.close().catch(() => undefined);
      this.#handle = undefined;
    } finally {
      this.#writing = undefined;
    }
  }
}
