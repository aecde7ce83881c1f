// The wire format of a message: header length (uint32, little-endian), msgpack header, zero padding to a multiple of 8
// bytes, raw payload. The padding allows a receiver to view float32 values in place.
import { ProtocolError } from '../errors.js';
import { host } from '../platform/host.js';
import { pack, unpack } from './msgpack.js';

const alignment = 8;
/** Maximum header length. The longest header in practice is that of a welcome, with about 100 bytes per shard. */
export const maxHeaderBytes = 1 << 20;
/** Number of bytes that an outgoing frame reserves for a header without lists. */
const minHeaderSpace = 1024;

export interface Frame {
  /** Decoded header, not yet validated (see parseWorkerMessage and parseCoordinatorMessage). */
  header: unknown;
  /** Payload, as a view into the message. */
  payload: Uint8Array;
}

/** Returns the offset of the payload, which follows the header length, the header and its padding. */
export function payloadOffset(headerBytes: number): number {
  return Math.ceil((4 + headerBytes) / alignment) * alignment;
}

/** Encodes a message. Copies the payloads into it, one after the other. */
export function encodeFrame(header: object, ...payload: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return encodeFrameIn(host.allocate, header, ...payload);
}

/** Encodes a message in memory that `allocate` returns. */
export function encodeFrameIn<Memory extends Uint8Array>(
  allocate: (bytes: number) => Memory,
  header: object,
  ...payload: Uint8Array[]
): Memory {
  const packed = pack(header);
  const offset = payloadOffset(packed.length);
  const bytes = payload.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const frame = allocate(offset + bytes);
  writeHeader(frame, packed, offset);
  let end = offset;
  for (const section of payload) {
    frame.set(section, end);
    end += section.byteLength;
  }
  return frame;
}

/**
 * A message whose payload is computed in place, without a copy. The header is written last, because it contains results
 * of the computation.
 */
export class OutgoingFrame {
  /** Fill this before calling seal. */
  readonly payload: Float32Array;
  readonly #memory: Uint8Array<ArrayBuffer>;
  /** Bytes reserved for the header and its length. */
  readonly #headerSpace: number;

  /**
   * @param listBytes maximum size of the lists in the header
   * @param allocate returns the frame's memory
   */
  constructor(payloadFloats: number, listBytes = 0, allocate = (bytes: number) => new ArrayBuffer(bytes)) {
    this.#headerSpace = minHeaderSpace + Math.ceil(listBytes / alignment) * alignment;
    this.#memory = new Uint8Array(allocate(this.#headerSpace + payloadFloats * 4));
    this.payload = new Float32Array(this.#memory.buffer, this.#headerSpace, payloadFloats);
  }

  /**
   * Writes the header in front of the payload.
   * @returns the whole message, a view of this frame's memory
   */
  seal(header: object): Uint8Array<ArrayBuffer> {
    const packed = pack(header);
    const offset = payloadOffset(packed.length);
    if (offset > this.#headerSpace) throw new RangeError(`no space for a header of ${packed.length} bytes`);
    const frame = this.#memory.subarray(this.#headerSpace - offset);
    writeHeader(frame, packed, offset);
    return frame;
  }
}

/** Writes a packed header, its length, and its padding up to the payload. */
function writeHeader(frame: Uint8Array, packed: Uint8Array, payloadOffset: number): void {
  new DataView(frame.buffer, frame.byteOffset).setUint32(0, packed.length, true);
  frame.set(packed, 4);
  frame.fill(0, 4 + packed.length, payloadOffset);
}

/** Splits a message into header and payload. Throws ProtocolError if it is malformed. */
export function decodeFrame(message: Uint8Array): Frame {
  if (message.byteLength < 4) throw new ProtocolError(`a message of ${message.byteLength} bytes has no header length`);
  const headerBytes = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
  const offset = payloadOffset(headerBytes);
  if (headerBytes > maxHeaderBytes || offset > message.byteLength) {
    throw new ProtocolError(`a message of ${message.byteLength} bytes claims a header of ${headerBytes} bytes`);
  }
  return { header: unpack(message.subarray(4, 4 + headerBytes)), payload: message.subarray(offset) };
}

/**
 * Returns a payload as float32 values: a view, or a copy if the payload is not aligned to 4 bytes. Throws ProtocolError
 * if the number of values is wrong.
 */
export function floatsOf(payload: Uint8Array, expectedCount: number): Float32Array {
  if (payload.byteLength !== expectedCount * 4) {
    throw new ProtocolError(`expected a payload of ${expectedCount * 4} bytes, received ${payload.byteLength}`);
  }
  if (payload.byteOffset % 4 === 0) {
    return new Float32Array(payload.buffer as ArrayBuffer, payload.byteOffset, expectedCount);
  }
  // slice() would not copy a Buffer.
  return new Float32Array(new Uint8Array(payload).buffer);
}
