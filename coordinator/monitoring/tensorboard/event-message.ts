// Encodes TensorBoard's Event messages as protobuf: only the fields that a training run needs. Pure.
// Field numbers: tensorboard/compat/proto/{event,summary,histogram}.proto.

/** A value of a Summary message, with its tag. */
export type SummaryValue =
  | { tag: string; scalar: number }
  | { tag: string; histogram: Histogram }
  | { tag: string; image: { width: number; height: number; png: Uint8Array } };

/** A histogram: counts of values in adjacent buckets. */
export interface Histogram {
  min: number;
  max: number;
  count: number;
  sum: number;
  sumOfSquares: number;
  /** Upper limit of each bucket; the first bucket starts at `min`. */
  limits: Float64Array;
  counts: Float64Array;
}

/** Encodes the first record of an event file, which states the version of the format. */
export function versionEvent(wallSeconds: number): Buffer {
  return Buffer.concat([doubleField(1, wallSeconds), bytesField(3, Buffer.from('brain.Event:2'))]);
}

/** Encodes the start of a session: readers discard this step and later ones from earlier files in the folder. */
export function sessionStartEvent(wallSeconds: number, step: number): Buffer {
  const start = varintField(1, 1);
  return Buffer.concat([doubleField(1, wallSeconds), varintField(2, step), bytesField(7, start)]);
}

export function summaryEvent(wallSeconds: number, step: number, values: readonly SummaryValue[]): Buffer {
  const summary = Buffer.concat(values.map((value) => bytesField(1, encodeValue(value))));
  return Buffer.concat([doubleField(1, wallSeconds), varintField(2, step), bytesField(5, summary)]);
}

function encodeValue(value: SummaryValue): Buffer {
  const tag = bytesField(1, Buffer.from(value.tag));
  if ('scalar' in value) return Buffer.concat([tag, floatField(2, value.scalar)]);
  if ('image' in value) {
    const { width, height, png } = value.image;
    const colorspaceRgb = 3;
    const fields = [varintField(1, height), varintField(2, width), varintField(3, colorspaceRgb), bytesField(4, png)];
    return Buffer.concat([tag, bytesField(4, Buffer.concat(fields))]);
  }
  const { min, max, count, sum, sumOfSquares, limits, counts } = value.histogram;
  const fields = [min, max, count, sum, sumOfSquares].map((number, index) => doubleField(index + 1, number));
  return Buffer.concat([
    tag,
    bytesField(5, Buffer.concat([...fields, doublesField(6, limits), doublesField(7, counts)])),
  ]);
}

// Protobuf wire types. Each field is encoded as a key (field number and wire type), followed by its value.
const varintType = 0;
const eightBytesType = 1;
const lengthType = 2;
const fourBytesType = 5;

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  // Divides instead of shifting because shifts are limited to 32 bits.
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function key(field: number, wireType: number): Buffer {
  return varint(field * 8 + wireType);
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([key(field, varintType), varint(value)]);
}

function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(field, eightBytesType), bytes]);
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, fourBytesType), bytes]);
}

function bytesField(field: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([key(field, lengthType), varint(bytes.length), bytes]);
}

/** Encodes a packed repeated field of doubles. */
function doublesField(field: number, values: Float64Array): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeDoubleLE(value, 8 * index));
  return bytesField(field, bytes);
}
