// Records of noise, for measurements: the speed of an engine hardly depends on what its images show. Pure.
import type { RecordFormat } from './record-format.js';

/** Returns records whose labels take turns. */
export function noiseRecords({ recordBytes, labelBytes, classCount }: RecordFormat, count: number): Uint8Array {
  const records = new Uint8Array(count * recordBytes);
  for (let at = 0, state = 1; at < records.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0; // Numerical Recipes' generator
    records[at] = state >>> 24;
  }
  for (let image = 0; image < count; image++) {
    const label = image % classCount;
    for (let byte = 0; byte < labelBytes; byte++) records[image * recordBytes + byte] = label >> (8 * byte);
  }
  return records;
}
