// Gathers each large WebSocket payload in one piece of memory as it arrives. The ws library keeps the chunks of a message
// until it is complete and then joins them in new memory: twice the memory, and pages that the kernel must clear first.
// Given a whole payload at once, ws passes it on as it is. Parses no more of the WebSocket protocol than the lengths of
// frames; ws checks everything else. Does no I/O.

/** Payloads of at least this many bytes are gathered. */
const minGatheredBytes = 64 * 1024;
/** Maximum length of a frame header: 2 bytes, 8 bytes of extended length and 4 bytes of mask. */
const maxFrameHeaderBytes = 14;
const endOfHttpHead = '\r\n\r\n';

/**
 * Returns memory of exactly this size for a payload, or undefined to pass the payload on in pieces, for example because
 * it is longer than allowed.
 */
export type TakeMemory = (bytes: number) => Buffer | undefined;

type State =
  /** Reading the HTTP response that precedes the frames; `matched` characters of its end have arrived. */
  | { phase: 'http'; matched: number }
  | { phase: 'header' }
  /** Passing on a payload in pieces. */
  | { phase: 'passing'; remaining: number }
  | { phase: 'gathering'; memory: Buffer; filled: number };

export class PayloadGatherer {
  readonly #takeMemory: TakeMemory;
  readonly #header = Buffer.alloc(maxFrameHeaderBytes);
  #headerBytes = 0;
  #state: State;

  /** @param startsWith whether an HTTP response precedes the frames */
  constructor(startsWith: 'http' | 'frames', takeMemory: TakeMemory) {
    this.#state = startsWith === 'http' ? { phase: 'http', matched: 0 } : { phase: 'header' };
    this.#takeMemory = takeMemory;
  }

  /** The memory that the next bytes belong to; undefined if no payload is being gathered. */
  get target(): Buffer | undefined {
    return this.#state.phase === 'gathering' ? this.#state.memory.subarray(this.#state.filled) : undefined;
  }

  /**
   * Records that the first bytes of the target have been filled.
   * @returns the payload if it is complete
   */
  filled(bytes: number): Buffer | undefined {
    if (this.#state.phase !== 'gathering') throw new RangeError('no payload is being gathered');
    this.#state.filled += bytes;
    const { memory, filled } = this.#state;
    if (filled < memory.length) return undefined;
    this.#state = { phase: 'header' };
    return memory;
  }

  /**
   * Processes bytes that were not read into the target.
   * @returns the pieces to pass on: views of `chunk`, copies of frame headers, and gathered payloads
   */
  receive(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let rest = chunk;
    while (rest.length > 0) {
      const taken = this.#receivePart(rest, pieces);
      rest = rest.subarray(taken);
    }
    return pieces;
  }

  /** Processes bytes of one kind. @returns their number */
  #receivePart(bytes: Buffer, pieces: Buffer[]): number {
    const state = this.#state;
    switch (state.phase) {
      case 'http': {
        const taken = this.#endOfHttp(bytes, state);
        pieces.push(bytes.subarray(0, taken));
        return taken;
      }
      case 'header':
        return this.#receiveHeader(bytes, pieces);
      case 'passing': {
        const taken = Math.min(state.remaining, bytes.length);
        pieces.push(bytes.subarray(0, taken));
        state.remaining -= taken;
        if (state.remaining === 0) this.#state = { phase: 'header' };
        return taken;
      }
      case 'gathering': {
        const taken = bytes.copy(state.memory, state.filled);
        const payload = this.filled(taken);
        if (payload !== undefined) pieces.push(payload);
        return taken;
      }
      default:
        return state satisfies never;
    }
  }

  #endOfHttp(bytes: Buffer, state: State & { phase: 'http' }): number {
    for (const [index, byte] of bytes.entries()) {
      if (byte === endOfHttpHead.charCodeAt(state.matched)) state.matched++;
      else state.matched = byte === endOfHttpHead.charCodeAt(0) ? 1 : 0;
      if (state.matched < endOfHttpHead.length) continue;
      this.#state = { phase: 'header' };
      return index + 1;
    }
    return bytes.length;
  }

  #receiveHeader(bytes: Buffer, pieces: Buffer[]): number {
    const header = this.#header;
    let taken = 0;
    while (this.#headerBytes < this.#expectedHeaderBytes()) {
      if (taken === bytes.length) return taken;
      header[this.#headerBytes++] = bytes[taken++];
    }
    pieces.push(Buffer.from(header.subarray(0, this.#headerBytes)));
    this.#headerBytes = 0;
    const length = payloadLength(header);
    const memory = length < minGatheredBytes ? undefined : this.#takeMemory(length);
    if (memory !== undefined) this.#state = { phase: 'gathering', memory, filled: 0 };
    else if (length > 0) this.#state = { phase: 'passing', remaining: length };
    return taken;
  }

  #expectedHeaderBytes(): number {
    if (this.#headerBytes < 2) return 2;
    const [, second] = this.#header;
    const extended = [0, 2, 8][Math.max(0, (second & 0x7f) - 125)];
    const isMasked = second >= 0x80;
    return 2 + extended + (isMasked ? 4 : 0);
  }
}

function payloadLength(header: Buffer): number {
  const short = header[1] & 0x7f;
  if (short < 126) return short;
  if (short === 126) return header.readUInt16BE(2);
  return header.readUInt32BE(2) * 2 ** 32 + header.readUInt32BE(6);
}
