// A TensorBoard event file: events framed as TFRecords, appended as they arrive.
import { createWriteStream, mkdirSync, readdirSync, type WriteStream } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { crc32c } from './crc32.js';
import { sessionStartEvent, summaryEvent, versionEvent, type SummaryValue } from './event-message.js';

/** Returns a TFRecord: length, checksum of the length, content, checksum of the content. */
export function frameRecord(bytes: Uint8Array): Buffer {
  const frame = Buffer.alloc(8 + 4 + bytes.length + 4);
  frame.writeBigUInt64LE(BigInt(bytes.length));
  frame.writeUInt32LE(maskedCrc(frame.subarray(0, 8)), 8);
  frame.set(bytes, 12);
  frame.writeUInt32LE(maskedCrc(bytes), 12 + bytes.length);
  return frame;
}

/** Returns the masked CRC-32C: TensorFlow masks CRCs that are stored along with their data (core/lib/hash/crc32c.h). */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

export class EventFile {
  readonly #stream: WriteStream;

  /**
   * Creates a new file in a folder, which may contain files of earlier processes. Synchronous so that the run cannot
   * emit events before the file is ready. Throws a system error if the folder cannot be created.
   * @param firstStep first step in this file; TensorBoard ignores this step and later ones in earlier files
   * @param onError called once if the file cannot be written; events added later are dropped
   */
  constructor(folder: string, firstStep: number, onError: (error: Error) => void) {
    mkdirSync(folder, { recursive: true });
    const seconds = nextFileSeconds(folder);
    this.#stream = createWriteStream(path.join(folder, `events.out.tfevents.${seconds}.${hostname()}`), {
      flags: 'wx',
    });
    this.#stream.on('error', onError);
    this.#append(versionEvent(now()));
    this.#append(sessionStartEvent(now(), firstStep));
  }

  add(step: number, values: readonly SummaryValue[]): void {
    this.#append(summaryEvent(now(), step, values));
  }

  /** Closes the file after everything has been written. */
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

/**
 * Returns the time for the name of a new file. TensorBoard reads files in the order of their names, so the new file
 * must come last even if the clock was set back.
 */
function nextFileSeconds(folder: string): number {
  const existing = readdirSync(folder).map((name) => Number(/tfevents\.(\d+)\./.exec(name)?.[1] ?? 0));
  return Math.max(Math.floor(now()), ...existing.map((seconds) => seconds + 1));
}
