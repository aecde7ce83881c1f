// Wraps the stream of a server's WebSocket so that ws receives large payloads in one piece. See payload-gatherer.ts.
import { Duplex } from 'node:stream';
import { PayloadGatherer, type TakeMemory } from './payload-gatherer.js';

export class GatheringStream extends Duplex {
  /** Returns memory for large payloads. By default, payloads are not gathered. */
  takeMemory: TakeMemory = () => undefined;
  readonly #inner: Duplex;
  readonly #gatherer = new PayloadGatherer('frames', (bytes) => this.takeMemory(bytes));

  /** @param inner stream that is just after the HTTP request; its errors destroy this stream */
  constructor(inner: Duplex) {
    super();
    this.#inner = inner;
    inner.on('data', (chunk: Buffer) => {
      for (const piece of this.#gatherer.receive(chunk)) {
        if (!this.push(piece)) inner.pause();
      }
    });
    inner.on('end', () => this.push(null));
    inner.on('error', (error) => this.destroy(error));
    inner.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#inner.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#inner.write(chunk, callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this.#inner.cork();
    for (const [index, { chunk }] of chunks.entries()) {
      this.#inner.write(chunk, index === chunks.length - 1 ? callback : undefined);
    }
    this.#inner.uncork();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#inner.end(callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#inner.destroy();
    callback(error);
  }
}
