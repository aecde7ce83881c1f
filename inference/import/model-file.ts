// What the readers of model files provide, and the limits that they enforce.
import { LockstepError } from '../../shared/errors.js';
import type { Shape } from '../../shared/network/layers.js';

/** Maximum size of a configuration: a ResNet with 1,000 layers has about 2 MB. */
export const maxConfigBytes = 2 ** 26;
/** Maximum size of the file with the weights. */
export const maxWeightsBytes = 2 ** 30;
/** Maximum number of layers, and of variables. */
export const maxLayers = 10_000;

/** A variable of a Keras layer. */
export interface Variable {
  layer: LayerPlace;
  /** Name in Keras, for example `kernel`. */
  name: string;
  /** Position among the layer's variables. */
  index: number;
  /** Shape in Keras. */
  shape: Shape;
  /** Whether only the number of elements matters. */
  isFlat?: true;
}

/** Where a layer is in a model. */
export interface LayerPlace {
  /** Own name, after the names of the models that contain the layer: `base/conv1`. */
  name: string;
  /** Group of its variables in the HDF5 file of a .keras file: `layers/functional/layers/conv2d_1`. */
  group: string;
}

/** Values of variables. Must be closed. */
export interface VariableReader {
  /** Throws `bad-data` if the file does not contain the variable, or contains it in another shape or type. */
  read: (variable: Variable) => Float32Array;
  close: () => void;
}

export interface ModelFile {
  /** Configuration of the model, as parsed from JSON. */
  config: unknown;
  /** Metadata of a .keras file, as parsed from JSON. */
  metadata: unknown;
  openVariables: () => Promise<VariableReader>;
}

export function badModel(location: string, problem: string, cause?: unknown): LockstepError {
  return new LockstepError('bad-data', `cannot import ${location}: ${problem}`, { cause });
}

export function describeVariable({ layer, name }: Variable): string {
  return `the ${name} of layer "${layer.name}"`;
}
