// Follows the messages in one direction of a WebSocket connection while its bytes pass: which message it is, its middle
// and its end. Reads along only; the bytes are somebody else's to forward.
import { decodeFrame, payloadOffset } from '../../../shared/protocol/frame.js';

/** Of a message: what it is is known now, half of it has passed, all of it has passed. */
export type Place = 'head' | 'middle' | 'end';

export interface Mark<Message> {
  /** How many bytes of the chunk have passed when the place is reached. */
  offset: number;
  place: Place;
  message: Message;
}

/** A frame of RFC 6455 whose payload is passing. */
interface PassingFrame<Message> {
  /** Pings, pongs and closes are no messages. */
  isMessage: boolean;
  length: number;
  mask: readonly number[] | undefined;
  passed: number;
  /** The payload's first bytes, unmasked, until they hold the whole header. */
  start: number[];
  message: Message | undefined;
  middle: number;
}

const endOfHttp = [13, 10, 13, 10];
const firstControlOpcode = 8;

export class MessageTracker<Message> {
  readonly #parse: (header: unknown) => Message;
  /** Bytes of the blank line behind the HTTP upgrade that have been seen in a row. */
  #endOfHttpSeen = 0;
  #frameHead: number[] = [];
  #frame: PassingFrame<Message> | undefined;

  /** @param parse makes a typed message of a decoded header, and throws ProtocolError for any other */
  constructor(parse: (header: unknown) => Message) {
    this.#parse = parse;
  }

  /** Takes the next bytes. @returns the places in them, in order. Throws ProtocolError for a message that is none. */
  track(chunk: Uint8Array): Mark<Message>[] {
    const marks: Mark<Message>[] = [];
    let offset = this.#skipHttp(chunk);
    while (offset < chunk.length) {
      if (this.#frame === undefined) {
        this.#frameHead.push(chunk[offset++]);
        this.#frame = openFrame(this.#frameHead);
        if (this.#frame === undefined) continue;
        this.#frameHead = [];
      }
      offset = this.#passPayload(this.#frame, chunk, offset, marks);
      if (this.#frame.passed === this.#frame.length) this.#frame = undefined;
    }
    return marks;
  }

  #skipHttp(chunk: Uint8Array): number {
    let offset = 0;
    for (; offset < chunk.length && this.#endOfHttpSeen < endOfHttp.length; offset++) {
      const byte = chunk[offset];
      if (byte === endOfHttp[this.#endOfHttpSeen]) this.#endOfHttpSeen++;
      else this.#endOfHttpSeen = byte === endOfHttp[0] ? 1 : 0;
    }
    return offset;
  }

  #passPayload(frame: PassingFrame<Message>, chunk: Uint8Array, first: number, marks: Mark<Message>[]): number {
    const end = first + Math.min(frame.length - frame.passed, chunk.length - first);
    if (!frame.isMessage) {
      frame.passed += end - first;
      return end;
    }
    let offset = first;
    const mark = (place: Place) => {
      if (frame.message !== undefined) marks.push({ offset, place, message: frame.message });
    };
    while (offset < end && frame.message === undefined) {
      frame.start.push(chunk[offset++] ^ (frame.mask?.[frame.passed % 4] ?? 0));
      frame.passed++;
      const headBytes = headBytesOf(frame.start);
      if (frame.start.length !== headBytes) continue;
      frame.message = this.#parse(decodeFrame(Uint8Array.from(frame.start)).header);
      frame.middle = Math.max(headBytes, frame.length >> 1);
      mark('head');
      if (frame.passed === frame.middle) mark('middle');
    }
    if (frame.message !== undefined && offset < end) {
      const toMiddle = frame.middle - frame.passed;
      frame.passed += end - offset;
      if (toMiddle > 0 && toMiddle <= end - offset) {
        marks.push({ offset: offset + toMiddle, place: 'middle', message: frame.message });
      }
      offset = end;
    }
    if (frame.passed === frame.length) mark('end');
    return offset;
  }
}

/** Undefined while the frame's own head is not complete. */
function openFrame<Message>(head: readonly number[]): PassingFrame<Message> | undefined {
  if (head.length < 2) return undefined;
  const isMasked = (head[1] & 0x80) !== 0;
  const shortLength = head[1] & 0x7f;
  const lengthBytes = shortLength === 127 ? 8 : shortLength === 126 ? 2 : 0;
  const headLength = 2 + lengthBytes + (isMasked ? 4 : 0);
  if (head.length < headLength) return undefined;
  const longLength = head.slice(2, 2 + lengthBytes).reduce((sum, byte) => sum * 256 + byte, 0);
  return {
    isMessage: (head[0] & 0x0f) < firstControlOpcode,
    length: lengthBytes === 0 ? shortLength : longLength,
    mask: isMasked ? head.slice(headLength - 4) : undefined,
    passed: 0,
    start: [],
    message: undefined,
    middle: 0,
  };
}

/** How many bytes lie before a message's payload; undefined while its first four bytes are not there. */
function headBytesOf(start: readonly number[]): number | undefined {
  if (start.length < 4) return undefined;
  return payloadOffset(new DataView(Uint8Array.from(start.slice(0, 4)).buffer).getUint32(0, true));
}
