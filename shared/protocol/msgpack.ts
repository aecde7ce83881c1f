// MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) for headers: nil, booleans, numbers, text, arrays
// and maps with text as keys. Extensions and raw bytes are refused. What is unpacked comes from other machines: claimed
// lengths are checked against the bytes that are there before anything is allocated, and nesting is limited.
import { ProtocolError } from '../errors.js';

/** Maximum nesting depth. The deepest header is that of a welcome: a map that contains an array of maps. */
const maxDepth = 8;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Packs values into memory that grows, and is used again for the next value. */
class Packer {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #end = 0;

  /** Returns a view that is valid until the next call. */
  pack(value: unknown): Uint8Array {
    this.#end = 0;
    this.#value(value);
    return this.#bytes.subarray(0, this.#end);
  }

  #value(value: unknown): void {
    if (value === null) this.#byte(0xc0);
    else if (typeof value === 'boolean') this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#text(value);
    else if (Array.isArray(value)) {
      this.#length(value.length, { short: 0x90, shortLimit: 16, medium: 0xdc });
      for (const element of value) this.#value(element);
    } else if (typeof value === 'object') this.#map(value);
    else throw new TypeError(`a header cannot contain a ${typeof value}`);
  }

  #map(map: object): void {
    const entries = Object.entries(map).filter(([, value]) => value !== undefined);
    this.#length(entries.length, { short: 0x80, shortLimit: 16, medium: 0xde });
    for (const [key, value] of entries) {
      this.#text(key);
      this.#value(value);
    }
  }

  #number(value: number): void {
    if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff || Object.is(value, -0)) {
      this.#byte(0xcb);
      this.#fixed('setFloat64', 8, value);
    } else if (value >= -0x20 && value < 0x80) this.#byte(value & 0xff);
    else if (value >= 0 && value <= 0xff) {
      this.#byte(0xcc);
      this.#byte(value);
    } else if (value >= 0 && value <= 0xffff) {
      this.#byte(0xcd);
      this.#fixed('setUint16', 2, value);
    } else if (value >= 0) {
      this.#byte(0xce);
      this.#fixed('setUint32', 4, value);
    } else {
      this.#byte(0xd2);
      this.#fixed('setInt32', 4, value);
    }
  }

  #text(text: string): void {
    const bytes = encoder.encode(text);
    if (bytes.length >= 32 && bytes.length <= 0xff) {
      this.#byte(0xd9);
      this.#byte(bytes.length);
    } else this.#length(bytes.length, { short: 0xa0, shortLimit: 32, medium: 0xda });
    const at = this.#take(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Writes a type with a length: in the type byte, in 16 bits, or in 32 bits. */
  #length(length: number, { short, shortLimit, medium }: Record<'short' | 'shortLimit' | 'medium', number>): void {
    if (length < shortLimit) this.#byte(short + length);
    else if (length <= 0xffff) {
      this.#byte(medium);
      this.#fixed('setUint16', 2, length);
    } else {
      this.#byte(medium + 1);
      this.#fixed('setUint32', 4, length);
    }
  }

  #byte(byte: number): void {
    const at = this.#take(1);
    this.#bytes[at] = byte;
  }

  #fixed(write: 'setUint16' | 'setUint32' | 'setInt32' | 'setFloat64', bytes: number, value: number): void {
    const at = this.#take(bytes);
    this.#view[write](at, value);
  }

  /** Reserves bytes at the end, perhaps in new memory. @returns where they begin */
  #take(count: number): number {
    const begin = this.#end;
    this.#end += count;
    if (this.#end > this.#bytes.length) {
      const bytes = new Uint8Array(2 * this.#end);
      bytes.set(this.#bytes.subarray(0, begin));
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer);
    }
    return begin;
  }
}

/**
 * Short texts that have been unpacked, by a hash of their bytes: keys, and names of workers. Almost all texts of a message
 * have been in earlier ones, and decoding them again takes longer than everything else.
 */
const knownTexts = new Map<number, { bytes: Uint8Array; text: string }>();
/** Maximum number of known texts, so that peers cannot fill the memory. */
const maxKnownTexts = 4096;
/** Maximum size of a known text, in bytes. */
const maxKnownBytes = 31;

/** Returns the FNV-1a hash of these bytes. */
function hashOf(bytes: Uint8Array, begin: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = begin; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  return hash;
}

function isAt(part: Uint8Array, bytes: Uint8Array, begin: number): boolean {
  for (let at = 0; at < part.length; at++) if (part[at] !== bytes[begin + at]) return false;
  return true;
}

class Unpacker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  unpack(): unknown {
    const value = this.#value();
    if (this.#at < this.#bytes.length) this.#fail('bytes after the end of the value');
    return value;
  }

  #value(): unknown {
    const type = this.#bytes[this.#take(1)];
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 0xf);
    if (type < 0xa0) return this.#array(type & 0xf);
    if (type < 0xc0) return this.#text(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcc:
        return this.#view.getUint8(this.#take(1));
      case 0xcd:
        return this.#view.getUint16(this.#take(2));
      case 0xce:
        return this.#view.getUint32(this.#take(4));
      case 0xcf:
        return this.#safe(this.#view.getBigUint64(this.#take(8)));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return this.#safe(this.#view.getBigInt64(this.#take(8)));
      case 0xd9:
        return this.#text(this.#view.getUint8(this.#take(1)));
      case 0xda:
        return this.#text(this.#view.getUint16(this.#take(2)));
      case 0xdb:
        return this.#text(this.#view.getUint32(this.#take(4)));
      case 0xdc:
        return this.#array(this.#view.getUint16(this.#take(2)));
      case 0xdd:
        return this.#array(this.#view.getUint32(this.#take(4)));
      case 0xde:
        return this.#map(this.#view.getUint16(this.#take(2)));
      case 0xdf:
        return this.#map(this.#view.getUint32(this.#take(4)));
      default:
        return this.#fail(`unsupported type 0x${type.toString(16)}`);
    }
  }

  #array(count: number): unknown[] {
    this.#enter(count);
    const array: unknown[] = [];
    for (let index = 0; index < count; index++) array.push(this.#value());
    this.#depth--;
    return array;
  }

  #map(count: number): Record<string, unknown> {
    this.#enter(2 * count);
    const map: Record<string, unknown> = {};
    for (let index = 0; index < count; index++) {
      const key = this.#value();
      if (typeof key !== 'string') return this.#fail('a key that is not text');
      // Assigning to this name would change the object's prototype.
      if (key === '__proto__') return this.#fail('a key named __proto__');
      map[key] = this.#value();
    }
    this.#depth--;
    return map;
  }

  #text(length: number): string {
    const begin = this.#take(length);
    if (length > maxKnownBytes) return this.#decode(begin);
    const hash = hashOf(this.#bytes, begin, this.#at);
    const known = knownTexts.get(hash);
    if (known?.bytes.length === length && isAt(known.bytes, this.#bytes, begin)) return known.text;
    const text = this.#decode(begin);
    if (known === undefined && knownTexts.size < maxKnownTexts) {
      knownTexts.set(hash, { bytes: new Uint8Array(this.#bytes.subarray(begin, this.#at)), text });
    }
    return text;
  }

  /** Decodes the bytes from `begin` to the current position. */
  #decode(begin: number): string {
    const bytes = this.#bytes.subarray(begin, this.#at);
    try {
      return decoder.decode(bytes);
    } catch {
      return this.#fail('text that is not UTF-8');
    }
  }

  #safe(value: bigint): number {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : this.#fail(`an integer that is too large (${value})`);
  }

  /** Begins a value with elements, each of which takes at least one byte. */
  #enter(elements: number): void {
    if (elements > this.#bytes.length - this.#at) this.#fail('too few bytes for the value');
    if (elements > 0 && this.#depth === maxDepth) this.#fail(`nested more than ${maxDepth} levels deep`);
    this.#depth++;
  }

  /** Moves past some bytes. @returns where they begin */
  #take(count: number): number {
    const begin = this.#at;
    if (count > this.#bytes.length - begin) this.#fail('too few bytes for the value');
    this.#at += count;
    return begin;
  }

  #fail(problem: string): never {
    throw new ProtocolError(`a header is not msgpack: ${problem} at byte ${this.#at}`);
  }
}

const packer = new Packer();

/** Packs a value. Map entries that are undefined are left out. Returns a view that is valid until the next call. */
export function pack(value: object): Uint8Array {
  return packer.pack(value);
}

/** Unpacks exactly one value. Throws ProtocolError if the bytes are anything else. */
export function unpack(bytes: Uint8Array): unknown {
  return new Unpacker(bytes).unpack();
}
