// The wire format of a message: header length (uint32, little-endian), msgpack header, zeros up to a multiple of 8, raw
// payload. The padding lets a receiver view float32 values in place.
import { Packr } from 'msgpackr';
import { ProtocolError, messageOf } from '../errors.js';
import { assertPlainMsgpack } from './plain-msgpack.js';

const alignment = 8;
/** Longer headers are refused. The longest that is sent is a welcome, with about 100 bytes for each shard. */
export const maxHeaderBytes = 1 << 20;
/** Space reserved in an outgoing frame for a header without lists. */
const minHeaderSpace = 1024;

// Without records: plain msgpack maps, which any language can read, and no state shared between messages.
const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: false });

export interface Frame {
  /** Not validated yet: see parseWorkerMessage and parseCoordinatorMessage. */
  header: unknown;
  /** A view into the message, not a copy. */
  payload: Uint8Array;
}

/** Offset of the payload: after the header length, the header and its padding. */
export function payloadOffset(headerBytes: number): number {
  return Math.ceil((4 + headerBytes) / alignment) * alignment;
}

/** Encodes a message. Payloads are copied, one after the other. */
export function encodeFrame(header: object, ...payload: Uint8Array[]): Buffer {
  const packed = packr.pack(header);
  const offset = payloadOffset(packed.length);
  const bytes = payload.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const frame = Buffer.allocUnsafe(offset + bytes);
  frame.writeUInt32LE(packed.length, 0);
  frame.set(packed, 4);
  frame.fill(0, 4 + packed.length, offset);
  let end = offset;
  for (const section of payload) {
    frame.set(section, end);
    end += section.byteLength;
  }
  return frame;
}

/**
 * A message whose payload is computed in place, without a copy. The header is written last, because it reports on the
 * computation.
 */
export class OutgoingFrame {
  /** Fill this before calling seal. */
  readonly payload: Float32Array;
  readonly #memory: Buffer;
  /** Bytes reserved for the header and its length. */
  readonly #headerSpace: number;

  /** @param headerItems number of list elements in the header, at most 40 bytes each */
  constructor(payloadFloats: number, headerItems = 0) {
    this.#headerSpace = minHeaderSpace + Math.ceil((headerItems * 40) / alignment) * alignment;
    // Shared memory: the connection's thread sends it without a copy.
    this.#memory = Buffer.from(new SharedArrayBuffer(this.#headerSpace + payloadFloats * 4));
    this.payload = new Float32Array(this.#memory.buffer, this.#headerSpace, payloadFloats);
  }

  /** Writes the header in front of the payload. @returns the whole message, a view of this frame's memory */
  seal(header: object): Buffer {
    const packed = packr.pack(header);
    const offset = payloadOffset(packed.length);
    if (offset > this.#headerSpace) throw new RangeError(`no space for a header of ${packed.length} bytes`);
    const frame = this.#memory.subarray(this.#headerSpace - offset);
    frame.writeUInt32LE(packed.length, 0);
    frame.set(packed, 4);
    frame.fill(0, 4 + packed.length, offset);
    return frame;
  }
}

/** Splits a message into header and payload. Throws ProtocolError if it is malformed. */
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
    // Shared memory would crash msgpackr's native code.
    const header: unknown = packr.unpack(message.buffer instanceof ArrayBuffer ? packed : new Uint8Array(packed));
    return { header, payload: message.subarray(offset) };
  } catch (cause) {
    throw new ProtocolError(`a header is not msgpack: ${messageOf(cause)}`, { cause });
  }
}

/**
 * Views a payload as float32 values, or copies it if it is not aligned. Throws ProtocolError if their number is wrong.
 */
export function floatsOf(payload: Uint8Array, expectedCount: number): Float32Array {
  if (payload.byteLength !== expectedCount * 4) {
    throw new ProtocolError(`expected a payload of ${expectedCount * 4} bytes, received ${payload.byteLength}`);
  }
  if (payload.byteOffset % 4 === 0) {
    return new Float32Array(payload.buffer as ArrayBuffer, payload.byteOffset, expectedCount);
  }
  // Not slice(), which does not copy a Buffer.
  return new Float32Array(new Uint8Array(payload).buffer);
}
