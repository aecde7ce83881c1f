// Encodes float32 arrays as an HDF5 file in memory, with the HDF5 library compiled to WebAssembly.
import { File, Group, ready } from 'h5wasm';

export interface Hdf5Dataset {
  /** Path of groups and dataset name, for example `layers/dense/vars/0`. */
  path: string;
  shape: readonly number[];
  values: Float32Array;
}

export async function encodeHdf5(datasets: readonly Hdf5Dataset[]): Promise<Uint8Array> {
  const { FS } = await ready;
  const name = 'arrays.h5'; // in the library's virtual file system
  // HDF5 stores creation times from Date.now, but the same arrays must give the same bytes. The code below is
  // synchronous, so no other code sees the replacement.
  const { now } = Date;
  Date.now = () => 0;
  const file = new File(name, 'w');
  try {
    for (const { path, shape, values } of datasets) {
      const [dataset, ...groups] = path.split('/').toReversed();
      let group: Group = file;
      for (const part of groups.toReversed()) {
        const existing = group.get(part);
        group = existing instanceof Group ? existing : group.create_group(part);
      }
      group.create_dataset({ name: dataset, data: values, shape: [...shape], dtype: '<f4' });
    }
  } finally {
    file.close();
    Date.now = now;
  }
  const bytes = FS.readFile(name);
  FS.unlink(name);
  return bytes;
}
