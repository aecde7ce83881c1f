// Predicted classes as the payload of an evaluation: one byte each, or two (little-endian) for more than 255 classes.
import { ProtocolError } from '../errors.js';

/** Predicted class of an image whose logits are all NaN. A byte of 255 means the same. */
export const noClass = 65_535;
const noClassByte = 255;

function bytesPerPrediction(classCount: number): 1 | 2 {
  return classCount > noClassByte ? 2 : 1;
}

export function encodePredictions(classes: Uint16Array, classCount: number): Uint8Array {
  if (bytesPerPrediction(classCount) === 1) {
    return Uint8Array.from(classes, (label) => (label === noClass ? noClassByte : label));
  }
  const payload = new Uint8Array(2 * classes.length);
  const view = new DataView(payload.buffer);
  for (const [image, label] of classes.entries()) view.setUint16(2 * image, label, true);
  return payload;
}

/** Returns a copy of the predicted classes. Throws ProtocolError if predictions are missing or invalid. */
export function decodePredictions(payload: Uint8Array, images: number, classCount: number): Uint16Array {
  const bytes = bytesPerPrediction(classCount);
  const classes = new Uint16Array(images);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload.length !== bytes * images) throw badPredictions(payload, images);
  for (let image = 0; image < images; image++) {
    const label = bytes === 1 ? view.getUint8(image) : view.getUint16(2 * image, true);
    classes[image] = bytes === 1 && label === noClassByte ? noClass : label;
  }
  if (classes.every((label) => label < classCount || label === noClass)) return classes;
  throw badPredictions(payload, images);
}

function badPredictions({ length }: Uint8Array, images: number): ProtocolError {
  return new ProtocolError(`the predictions for a shard of ${images} images are missing or invalid (${length} bytes)`);
}
