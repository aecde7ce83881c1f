// How one message lies on the wire: uint32 little-endian header length, a msgpack header, zeros up to a multiple of 8,
// then the payload's raw bytes. The padding lets a receiver view float32 values in place.
import { Packr } from 'msgpackr';
import { ProtocolError, messageOf } from '../errors.js';
import { assertPlainMsgpack } from './plain-msgpack.js';

const alignment = 8;
/** The longest header that is read. The longest that is written is a welcome with its list of shards, about 100 bytes each. */
export const maxHeaderBytes = 1 << 20;
/** Room that an outgoing frame keeps before its payload for a header with a few numbers per slice. */
const headerRoomBytes = 1024;

// useRecords off: plain msgpack maps, so that any language can read a header; no state shared between messages.
const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: false });

export interface Frame {
  /** Not checked yet: see parse in messages.ts. */
  header: unknown;
  /** A view into the message, not a copy. */
  payload: Uint8Array;
}

/** Where a message's payload begins: behind the header's length, the header and its padding. */
export function payloadOffset(headerBytes: number): number {
  return Math.ceil((4 + headerBytes) / alignment) * alignment;
}

/** A message without a payload, or with one that is copied in. */
export function encodeFrame(header: object, ...payload: Uint8Array[]): Buffer {
  const packed = packr.pack(header);
  const offset = payloadOffset(packed.length);
  const bytes = payload.reduce((sum, part) => sum + part.byteLength, 0);
  const frame = Buffer.allocUnsafe(offset + bytes);
  frame.writeUInt32LE(packed.length, 0);
  frame.set(packed, 4);
  frame.fill(0, 4 + packed.length, offset);
  let place = offset;
  for (const part of payload) {
    frame.set(part, place);
    place += part.byteLength;
  }
  return frame;
}

/**
 * A message whose payload is written in place and whose header comes last, because it holds what only the payload's
 * making tells. The payload is never copied.
 */
export class OutgoingFrame {
  /** To be filled before seal. */
  readonly payload: Float32Array;
  readonly #memory: Buffer;
  readonly #room: number;

  /** @param headerItems list elements that the header will hold; each is given 40 bytes of room */
  constructor(payloadFloats: number, headerItems = 0) {
    this.#room = headerRoomBytes + Math.ceil((headerItems * 40) / alignment) * alignment;
    // Shared, so that a thread that sends it reads it in place; of its own, so that the payload is aligned.
    this.#memory = Buffer.from(new SharedArrayBuffer(this.#room + payloadFloats * 4));
    this.payload = new Float32Array(this.#memory.buffer, this.#room, payloadFloats);
  }

  /** Writes the header before the payload. @returns the whole message, a view into this frame */
  seal(header: object): Buffer {
    const packed = packr.pack(header);
    const offset = payloadOffset(packed.length);
    if (offset > this.#room) throw new RangeError(`a header of ${packed.length} bytes in a room of ${this.#room}`);
    const frame = this.#memory.subarray(this.#room - offset);
    frame.writeUInt32LE(packed.length, 0);
    frame.set(packed, 4);
    frame.fill(0, 4 + packed.length, offset);
    return frame;
  }
}

/** Takes a message apart. Throws ProtocolError for anything that is not a frame. */
export function decodeFrame(message: Uint8Array): Frame {
  if (message.byteLength < 4) throw new ProtocolError(`a message of ${message.byteLength} bytes has no header length`);
  const headerBytes = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
  const offset = payloadOffset(headerBytes);
  if (headerBytes > maxHeaderBytes || offset > message.byteLength) {
    throw new ProtocolError(`a message of ${message.byteLength} bytes claims a header of ${headerBytes} bytes`);
  }
  const packed = message.subarray(4, 4 + headerBytes);
  assertPlainMsgpack(packed);
  try {
    // msgpackr's native part must not be given shared memory: it ends the process.
    const header: unknown = packr.unpack(message.buffer instanceof ArrayBuffer ? packed : new Uint8Array(packed));
    return { header, payload: message.subarray(offset) };
  } catch (cause) {
    throw new ProtocolError(`a header is not msgpack: ${messageOf(cause)}`, { cause });
  }
}

/** Float32 values in place where they are aligned, else a copy. Throws ProtocolError if their number is another. */
export function floatsOf(payload: Uint8Array, expectedCount: number): Float32Array {
  if (payload.byteLength !== expectedCount * 4) {
    throw new ProtocolError(`a payload of ${payload.byteLength} bytes where ${expectedCount * 4} were expected`);
  }
  if (payload.byteOffset % 4 === 0) {
    return new Float32Array(payload.buffer as ArrayBuffer, payload.byteOffset, expectedCount);
  }
  // Not slice(): a Buffer's does not copy.
  return new Float32Array(new Uint8Array(payload).buffer);
}
