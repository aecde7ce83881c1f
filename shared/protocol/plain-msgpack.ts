// Checks a header before it is unpacked: it may contain only nil, booleans, numbers, text, arrays and maps, and no more
// elements than its bytes can encode. Without this check, a few bytes of msgpack could claim arrays of billions of
// elements, which an unpacker allocates before it reads the elements; nest values a thousand levels deep; or use
// extension types.
import { ProtocolError } from '../errors.js';

/** Maximum nesting depth. The deepest header is that of a welcome: a map that contains an array of maps. */
const maxDepth = 8;

/** How to read a value with a given type byte. */
interface Format {
  /** Size in bytes without the elements: the type byte, followed by a number, a length field or a short text. */
  bytes: number;
  elements: number;
  /**
   * Width of the length field that follows the type byte. The next two fields say what each unit of the length adds.
   */
  lengthBytes: 0 | 1 | 2 | 4;
  bytesPerUnit: 0 | 1;
  elementsPerUnit: 0 | 1 | 2;
}

const fixed = (bytes: number, elements = 0): Format => {
  return { bytes, elements, lengthBytes: 0, bytesPerUnit: 0, elementsPerUnit: 0 };
};
const text = (lengthBytes: 1 | 2 | 4): Format => ({ ...fixed(1 + lengthBytes), lengthBytes, bytesPerUnit: 1 });
const array = (lengthBytes: 2 | 4): Format => ({ ...fixed(1 + lengthBytes), lengthBytes, elementsPerUnit: 1 });
const map = (lengthBytes: 2 | 4): Format => ({ ...fixed(1 + lengthBytes), lengthBytes, elementsPerUnit: 2 });
const each = (count: number, format: (index: number) => Format | undefined) =>
  Array.from({ length: count }, (_, index) => format(index));
const unsupported = () => undefined;

/** Formats indexed by type byte; undefined for types that are not allowed. */
const formats: readonly (Format | undefined)[] = [
  each(0x80, () => fixed(1)), // 0x00: small positive integers
  each(0x10, (count) => fixed(1, 2 * count)), // 0x80: short maps
  each(0x10, (count) => fixed(1, count)), // 0x90: short arrays
  each(0x20, (length) => fixed(1 + length)), // 0xa0: short text
  [fixed(1), undefined, fixed(1), fixed(1)], // 0xc0: nil, unused, false, true
  each(6, unsupported), // 0xc4: raw bytes and extensions
  [fixed(5), fixed(9)], // 0xca: float 32, float 64
  [fixed(2), fixed(3), fixed(5), fixed(9)], // 0xcc: uint 8 to uint 64
  [fixed(2), fixed(3), fixed(5), fixed(9)], // 0xd0: int 8 to int 64
  each(5, unsupported), // 0xd4: short extensions
  [text(1), text(2), text(4)], // 0xd9
  [array(2), array(4), map(2), map(4)], // 0xdc
  each(0x20, () => fixed(1)), // 0xe0: small negative integers
].flat();

/** Throws ProtocolError unless the bytes are exactly one plain value. Reads each type byte once and copies nothing. */
export function assertPlainMsgpack(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Number of values still to be read at each nesting level. */
  const missing = [1];
  let at = 0;
  const fail = (problem: string): never => {
    throw new ProtocolError(`a header is not msgpack: ${problem} at byte ${at}`);
  };
  while (missing.length > 0) {
    if (missing[missing.length - 1] === 0) {
      missing.pop();
      continue;
    }
    missing[missing.length - 1]--;
    if (at >= bytes.length) fail('it ends too early');
    const format = formats[bytes[at]] ?? fail(`unsupported type 0x${bytes[at].toString(16)}`);
    const { lengthBytes } = format;
    if (at + 1 + lengthBytes > bytes.length) fail('it ends within a length');
    const length = readLength(view, at + 1, lengthBytes);
    const size = format.bytes + length * format.bytesPerUnit;
    const elements = format.elements + length * format.elementsPerUnit;
    // Every element takes at least one byte.
    if (size + elements > bytes.length - at) fail('too few bytes for the value');
    at += size;
    if (elements > 0 && missing.push(elements) > maxDepth) fail(`nested more than ${maxDepth} levels deep`);
  }
  if (at < bytes.length) fail('bytes after the end of the value');
}

function readLength(view: DataView, at: number, lengthBytes: Format['lengthBytes']): number {
  switch (lengthBytes) {
    case 0:
      return 0;
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at);
    case 4:
      return view.getUint32(at);
    default:
      return lengthBytes satisfies never;
  }
}
