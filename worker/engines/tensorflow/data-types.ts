// TensorFlow's data type codes, which are the same in the C API and in graph files.

export const dataTypes = {
  float32: 1,
  int32: 3,
  uint8: 4,
  string: 7,
  complex64: 8,
  int64: 9,
  bool: 10,
  bfloat16: 14,
  float16: 19,
  resource: 20,
} as const;

export type DataTypeName = keyof typeof dataTypes;

/** Returns the name of a data type for error messages. */
export function dataTypeName(code: number): string {
  return Object.entries(dataTypes).find(([, known]) => known === code)?.[0] ?? `data type ${code}`;
}
