// Looks a header over before it is unpacked: only nil, booleans, numbers, text, arrays and maps, and no more of them than
// its bytes can hold. A few bytes of msgpack can otherwise claim arrays of billions of elements, each of which an
// unpacker makes before it reads on, nest a thousand deep, or call for extension types that nobody here speaks.
import { ProtocolError } from '../errors.js';

/** The deepest header is a welcome: a map of an array of maps. */
const deepest = 8;

/** Throws ProtocolError for anything else, or where the bytes end too early. Reads each byte's type once; keeps nothing. */
export function assertPlainMsgpack(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Values still to come at each level of nesting; the outermost level has one. */
  const missing = [1];
  let place = 0;
  const bad = (why: string): never => {
    throw new ProtocolError(`a header is not msgpack: ${why} at byte ${place}`);
  };
  /** Reads a big-endian length of so many bytes behind the type byte. */
  const lengthOf = (width: 1 | 2 | 4): number => {
    if (place + 1 + width > bytes.length) bad('it ends in a length');
    if (width === 1) return view.getUint8(place + 1);
    return width === 2 ? view.getUint16(place + 1) : view.getUint32(place + 1);
  };

  while (missing.length > 0) {
    if (missing[missing.length - 1] === 0) {
      missing.pop();
      continue;
    }
    missing[missing.length - 1]--;
    if (place >= bytes.length) bad('it ends too early');
    const type = bytes[place];
    /** Bytes of this value alone, without those of its elements. */
    let size = 1;
    let elements = 0;
    if (type <= 0x7f || type >= 0xe0) size = 1;
    else if (type <= 0x8f) elements = 2 * (type & 0x0f);
    else if (type <= 0x9f) elements = type & 0x0f;
    else if (type <= 0xbf) size = 1 + (type & 0x1f);
    else {
      switch (type) {
        case 0xc0: // nil
        case 0xc2: // false
        case 0xc3: // true
          break;
        case 0xcc: // uint 8
        case 0xd0: // int 8
          size = 2;
          break;
        case 0xcd: // uint 16
        case 0xd1: // int 16
          size = 3;
          break;
        case 0xca: // float 32
        case 0xce: // uint 32
        case 0xd2: // int 32
          size = 5;
          break;
        case 0xcb: // float 64
        case 0xcf: // uint 64
        case 0xd3: // int 64
          size = 9;
          break;
        case 0xd9: // text
          size = 2 + lengthOf(1);
          break;
        case 0xda:
          size = 3 + lengthOf(2);
          break;
        case 0xdb:
          size = 5 + lengthOf(4);
          break;
        case 0xdc: // array
          size = 3;
          elements = lengthOf(2);
          break;
        case 0xdd:
          size = 5;
          elements = lengthOf(4);
          break;
        case 0xde: // map
          size = 3;
          elements = 2 * lengthOf(2);
          break;
        case 0xdf:
          size = 5;
          elements = 2 * lengthOf(4);
          break;
        default:
          bad(`type 0x${type.toString(16)} is not spoken here`);
      }
    }
    // Every element has a byte at least.
    if (size + elements > bytes.length - place) bad('it claims more than there is');
    place += size;
    if (elements > 0 && missing.push(elements) > deepest) bad(`it is nested more than ${deepest} deep`);
  }
  if (place < bytes.length) bad('something follows its end');
}
