// Follows the messages in one direction of a WebSocket connection. From the bytes that pass, it determines each message
// and the positions of its middle and end. It forwards nothing itself.
import { decodeFrame, payloadOffset } from '../../../shared/protocol/frame.js';

/** Points in a message: after its header, after half of its bytes, and after all of them. */
export type MessagePoint = 'head' | 'middle' | 'end';

export interface Mark<Message> {
  /** Number of bytes in the chunk before this point. */
  offset: number;
  point: MessagePoint;
  message: Message;
}

/** A WebSocket frame (RFC 6455) whose payload is currently passing. */
interface PassingFrame<Message> {
  /** False for control frames: ping, pong and close. */
  isMessage: boolean;
  length: number;
  mask: readonly number[] | undefined;
  passed: number;
  /** Unmasked bytes of the message header that have passed so far. */
  head: number[];
  message: Message | undefined;
  middle: number;
}

const endOfHttp = [13, 10, 13, 10];
const firstControlOpcode = 8;

export class MessageTracker<Message> {
  readonly #parse: (header: unknown) => Message;
  /** Number of consecutive bytes that match the blank line at the end of the HTTP upgrade. */
  #endOfHttpBytes = 0;
  #frameHead: number[] = [];
  #frame: PassingFrame<Message> | undefined;

  /** @param parse converts a decoded header to a typed message, or throws ProtocolError */
  constructor(parse: (header: unknown) => Message) {
    this.#parse = parse;
  }

  /**
   * Processes the next bytes. @returns the message points in them, in order. Throws ProtocolError for an invalid
   * message.
   */
  track(chunk: Uint8Array): Mark<Message>[] {
    const marks: Mark<Message>[] = [];
    let offset = this.#skipHttp(chunk);
    while (offset < chunk.length) {
      if (this.#frame === undefined) {
        this.#frameHead.push(chunk[offset++]);
        this.#frame = parseFrameHead(this.#frameHead);
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
    for (; offset < chunk.length && this.#endOfHttpBytes < endOfHttp.length; offset++) {
      const byte = chunk[offset];
      if (byte === endOfHttp[this.#endOfHttpBytes]) this.#endOfHttpBytes++;
      else this.#endOfHttpBytes = byte === endOfHttp[0] ? 1 : 0;
    }
    return offset;
  }

  #passPayload(frame: PassingFrame<Message>, chunk: Uint8Array, first: number, marks: Mark<Message>[]): number {
    const end = first + Math.min(frame.length - frame.passed, chunk.length - first);
    let offset = first;
    const mark = (point: MessagePoint, at: number) => {
      if (frame.message !== undefined) marks.push({ offset: at, point, message: frame.message });
    };
    while (frame.isMessage && offset < end && frame.message === undefined) {
      frame.head.push(chunk[offset++] ^ (frame.mask?.[frame.passed % 4] ?? 0));
      frame.passed++;
      const headBytes = headBytesOf(frame.head);
      if (frame.head.length !== headBytes) continue;
      frame.message = this.#parse(decodeFrame(Uint8Array.from(frame.head)).header);
      frame.middle = Math.max(headBytes, frame.length >> 1);
      mark('head', offset);
      if (frame.passed === frame.middle) mark('middle', offset);
    }
    const toMiddle = frame.middle - frame.passed;
    if (toMiddle > 0 && toMiddle <= end - offset) mark('middle', offset + toMiddle);
    frame.passed += end - offset;
    if (frame.passed === frame.length) mark('end', end);
    return end;
  }
}

/** Parses a frame header (RFC 6455). Returns undefined while the header is incomplete. */
function parseFrameHead<Message>(head: readonly number[]): PassingFrame<Message> | undefined {
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
    head: [],
    message: undefined,
    middle: 0,
  };
}

/** Returns the number of bytes before the payload of a message, or undefined until the first four bytes have passed. */
function headBytesOf(head: readonly number[]): number | undefined {
  if (head.length < 4) return undefined;
  return payloadOffset(new DataView(Uint8Array.from(head.slice(0, 4)).buffer).getUint32(0, true));
}
