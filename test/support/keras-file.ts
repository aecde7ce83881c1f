// Writes .keras files by hand, for tests of the import that do not need Keras.
import { zipSync } from 'fflate';
import { encodeHdf5, type Hdf5Dataset } from '../../inference/export/hdf5.js';

/** A variable of ascending values: 0, 1/8, 2/8, … */
export function rising(path: string, ...shape: number[]): Hdf5Dataset {
  const size = shape.reduce((product, extent) => product * extent, 1);
  return { path, shape, values: Float32Array.from({ length: size }, (_, index) => index / 8) };
}

export async function kerasFile(
  config: unknown,
  variables: readonly Hdf5Dataset[],
  metadata: unknown = { keras_version: '3.15.1' },
): Promise<Uint8Array> {
  return zipSync({
    'config.json': Buffer.from(JSON.stringify(config)),
    'metadata.json': Buffer.from(JSON.stringify(metadata)),
    'model.weights.h5': await encodeHdf5(variables),
  });
}

export interface LayerConfig {
  class_name: string;
  config: Record<string, unknown>;
  inbound_nodes?: unknown[];
}

export function sequential(inputShape: readonly number[], ...layers: LayerConfig[]) {
  const input = { class_name: 'InputLayer', config: { name: 'images', batch_shape: [null, ...inputShape] } };
  return { class_name: 'Sequential', config: { name: 'small', layers: [input, ...layers] } };
}

export function layer(className: string, name: string, config: Record<string, unknown> = {}): LayerConfig {
  return { class_name: className, config: { name, ...config } };
}

/** A layer of a functional model, in the form of Keras 3. */
export function applied(definition: LayerConfig, ...inputs: string[]): LayerConfig {
  const tensors = inputs.map((name) => ({
    class_name: '__keras_tensor__',
    config: { shape: [null], dtype: 'float32', keras_history: [name, 0, 0] },
  }));
  const args = tensors.length === 1 ? tensors : [tensors];
  return { ...definition, inbound_nodes: [{ args, kwargs: {} }] };
}

export function functional(inputShape: readonly number[], output: string, ...layers: LayerConfig[]) {
  const input = { class_name: 'InputLayer', config: { name: 'images', batch_shape: [null, ...inputShape] } };
  return {
    class_name: 'Functional',
    config: {
      name: 'small',
      layers: [{ ...input, inbound_nodes: [] }, ...layers],
      input_layers: [['images', 0, 0]],
      output_layers: [[output, 0, 0]],
    },
  };
}
