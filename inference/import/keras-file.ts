// Reads .keras files: a zip file with the configuration in JSON and the weights in HDF5.
import { Dataset, File, ready } from 'h5wasm';
import { unzipSync } from 'fflate';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { parseJson } from '../../shared/json.js';
import { describeShape, sameShape, sizeOf } from '../../shared/network/shapes.js';
import {
  badModel,
  describeVariable,
  maxConfigBytes,
  maxWeightsBytes,
  type ModelFile,
  type Variable,
  type VariableReader,
} from './model-file.js';

/** Files of the zip file that the import reads, with their maximum sizes. */
const entrySizes: Readonly<Record<string, number>> = {
  'config.json': maxConfigBytes,
  'metadata.json': maxConfigBytes,
  'model.weights.h5': maxWeightsBytes,
};
/** Maximum number of files in the zip file. Layers with assets, such as vocabularies, add some. */
const maxEntries = 1000;

export function readKerasFile(location: string, bytes: Uint8Array): ModelFile {
  const entries = unzip(location, bytes);
  const entry = (name: string) => {
    if (Object.hasOwn(entries, name)) return entries[name];
    throw badModel(location, `it has no ${name}, so it is not a .keras file of Keras 3`);
  };
  const json = (name: string) => {
    const value = parseJson(Buffer.from(entry(name)).toString());
    if (value === undefined) throw badModel(location, `its ${name} is not JSON`);
    return value;
  };
  return {
    config: json('config.json'),
    metadata: json('metadata.json'),
    openVariables: async () => openHdf5(location, entry('model.weights.h5')),
  };
}

function unzip(location: string, bytes: Uint8Array): Record<string, Uint8Array> {
  let count = 0;
  try {
    return unzipSync(bytes, {
      // fflate allocates what an entry claims as its size, and writes no more than that.
      filter: ({ name, originalSize }) => {
        if (++count > maxEntries) throw badModel(location, `it has more than ${maxEntries} files`);
        if (!Object.hasOwn(entrySizes, name)) return false;
        const limit = entrySizes[name];
        if (originalSize <= limit) return true;
        throw badModel(location, `its ${name} has ${originalSize} bytes: at most ${limit} are supported`);
      },
    });
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause;
    throw badModel(location, `it is not a zip file, or is damaged (${messageOf(cause)})`, cause);
  }
}

/** Number of files opened so far, for unique names in the library's virtual file system. */
let openedCount = 0;

async function openHdf5(location: string, bytes: Uint8Array): Promise<VariableReader> {
  const library = await ready;
  const name = `variables-${openedCount++}.h5`;
  /** Makes the library throw, where it otherwise prints a trace and returns an invalid result. */
  const throwing = <Result>(action: () => Result): Result => {
    library.activate_throwing_error_handler();
    try {
      return action();
    } catch (cause) {
      if (cause instanceof LockstepError) throw cause;
      throw badModel(location, `its model.weights.h5 is damaged (${messageOf(cause)})`, cause);
    } finally {
      library.deactivate_throwing_error_handler();
    }
  };
  library.FS.writeFile(name, bytes);
  try {
    const file = throwing(() => new File(name, 'r'));
    return {
      read: (variable) => throwing(() => readDataset(location, file, variable)),
      close: () => {
        file.close();
        library.FS.unlink(name);
      },
    };
  } catch (error) {
    library.FS.unlink(name);
    throw error;
  }
}

function readDataset(location: string, file: File, variable: Variable): Float32Array {
  const path = `${variable.layer.group}/vars/${variable.index}`;
  const dataset = file.get(path);
  if (!(dataset instanceof Dataset)) {
    throw badModel(location, `its model.weights.h5 has no ${path}, ${describeVariable(variable)}`);
  }
  // A compressed dataset may be much larger than the file, so this check comes before reading.
  const shape = dataset.shape ?? [];
  const fits = variable.isFlat ? sizeOf(shape) === sizeOf(variable.shape) : sameShape(shape, variable.shape);
  if (!fits) {
    throw badModel(
      location,
      `${describeVariable(variable)} has the shape ${describeShape(shape)} in model.weights.h5, but the configuration says ` +
        describeShape(variable.shape),
    );
  }
  const { value } = dataset;
  if (value instanceof Float32Array) return value;
  throw badModel(
    location,
    `${describeVariable(variable)} has the type ${JSON.stringify(dataset.dtype)}: it must be float32`,
  );
}
