export interface NamedArray {
  name: string;
  shape: readonly number[];
  values: Float32Array;
}
