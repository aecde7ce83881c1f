// One event file: records framed as TensorFlow's TFRecord, appended as they come. Knows nothing of what is in them.
import { createWriteStream, mkdirSync, readdirSync, type WriteStream } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { crc32c } from './crc32.js';
import { sessionStartEvent, summaryEvent, versionEvent, type SummaryValue } from './event-message.js';

/** Length, its check, the bytes, their check. */
export function frameRecord(bytes: Uint8Array): Buffer {
  const frame = Buffer.alloc(8 + 4 + bytes.length + 4);
  frame.writeBigUInt64LE(BigInt(bytes.length));
  frame.writeUInt32LE(maskedCheck(frame.subarray(0, 8)), 8);
  frame.set(bytes, 12);
  frame.writeUInt32LE(maskedCheck(bytes), 12 + bytes.length);
  return frame;
}

/** A CRC over bytes that hold CRCs themselves is weak, so TensorFlow rotates and shifts it (core/lib/hash/crc32c.h). */
function maskedCheck(bytes: Uint8Array): number {
  const check = crc32c(bytes);
  return (((check >>> 15) | (check << 17)) + 0xa282ead8) >>> 0;
}

export class EventFile {
  readonly #stream: WriteStream;

  private constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /**
   * A new file in a folder, which may hold those of a process that is gone. Synchronous, so that nothing happens to a run
   * between its folder and its first step. Throws what the file system says where the folder cannot be made.
   * @param firstStep what they hold of this step and later ones is void
   * @param onTrouble told once if the file cannot be written; it ends there, and what is added later is dropped
   */
  static open(folder: string, firstStep: number, onTrouble: (error: Error) => void): EventFile {
    mkdirSync(folder, { recursive: true });
    const seconds = nextFileSeconds(folder);
    const stream = createWriteStream(path.join(folder, `events.out.tfevents.${seconds}.${hostname()}`), {
      flags: 'wx',
    });
    stream.on('error', onTrouble);
    const file = new EventFile(stream);
    file.#append(versionEvent(now()));
    file.#append(sessionStartEvent(now(), firstStep));
    return file;
  }

  add(step: number, values: readonly SummaryValue[]): void {
    this.#append(summaryEvent(now(), step, values));
  }

  /** Waits for the last byte. */
  async close(): Promise<void> {
    if (!this.#stream.destroyed) this.#stream.end();
    if (!this.#stream.closed) await new Promise<void>((resolve) => this.#stream.once('close', () => resolve()));
  }

  #append(event: Buffer): void {
    if (!this.#stream.destroyed) this.#stream.write(frameRecord(event));
  }
}

function now(): number {
  return Date.now() / 1000;
}

/** TensorBoard reads a folder's files in the order of their names: the new one must come last, whatever the clock says. */
function nextFileSeconds(folder: string): number {
  const taken = readdirSync(folder).map((name) => Number(/tfevents\.(\d+)\./.exec(name)?.[1] ?? 0));
  return Math.max(Math.floor(now()), ...taken.map((seconds) => seconds + 1));
}
