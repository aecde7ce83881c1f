// The formats that a trained model can be exported to: what each is, and writing it whole or not at all.
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LockstepError, systemCodeOf } from '../../shared/errors.js';
import type { TrainedModel } from './network.js';

export const exportFormats = ['keras', 'savedmodel', 'tfjs', 'onnx', 'safetensors'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** One file, or a folder's files by name. */
export type Exported = { file: Uint8Array } | { folder: Readonly<Record<string, Uint8Array>> };

/** How each format's files must end where its readers go by that. */
const extensions: Partial<Record<ExportFormat, string>> = {
  keras: '.keras',
  onnx: '.onnx',
  safetensors: '.safetensors',
};

/** How a person loads what was written, in a line. */
export const loadingHints: Record<ExportFormat, (target: string) => string> = {
  keras: (target) => `keras.models.load_model(${JSON.stringify(target)})`,
  savedmodel: (target) => `tf.saved_model.load(${JSON.stringify(target)}).signatures["serving_default"]`,
  tfjs: (target) => `tf.loadGraphModel(URL of ${path.join(target, 'model.json')})`,
  onnx: (target) => `onnxruntime.InferenceSession(${JSON.stringify(target)})`,
  safetensors: (target) => `safetensors.numpy.load_file(${JSON.stringify(target)})`,
};

/** The same model gives the same bytes. Each writer, with its libraries, is loaded only when it is asked for. */
export async function encodeExport(model: TrainedModel, format: ExportFormat): Promise<Exported> {
  switch (format) {
    case 'keras': {
      const { writeKeras } = await import('./keras.js');
      return { file: await writeKeras(model) };
    }
    case 'savedmodel': {
      const { savedModelFile, writeSavedModel } = await import('./saved-model.js');
      return { folder: { [savedModelFile]: writeSavedModel(model) } };
    }
    case 'tfjs': {
      const { writeTfjsModel } = await import('./tfjs-model.js');
      return { folder: writeTfjsModel(model) };
    }
    case 'onnx': {
      const { writeOnnx } = await import('./onnx.js');
      return { file: writeOnnx(model) };
    }
    case 'safetensors': {
      const { writeSafetensors } = await import('./weights-file.js');
      return { file: writeSafetensors(model) };
    }
    default:
      return format satisfies never;
  }
}

/**
 * Writes a model to a file or into a folder. No file has its name before all are whole.
 * @param force whether what is there already is replaced
 * @returns bytes written
 * Throws `bad-option` for a name that the format's readers would not take, and for a place that is taken or cannot be
 * written.
 */
export async function exportModel(
  model: TrainedModel,
  { format, target, force }: { format: ExportFormat; target: string; force: boolean },
): Promise<number> {
  const extension = extensions[format];
  if (extension !== undefined && path.extname(target) !== extension) {
    throw new LockstepError('bad-option', `--out is ${target}: the name of a ${format} file must end in ${extension}`);
  }
  const present = await stat(target).catch(() => undefined);
  if (present !== undefined && !force) {
    throw new LockstepError('bad-option', `--out is ${target}, which is there already: name another, or say --force`);
  }
  const exported = await encodeExport(model, format);
  const isFolder = 'folder' in exported;
  if (present !== undefined && present.isDirectory() !== isFolder) {
    const [is, mustBe] = isFolder ? ['a file', 'a folder'] : ['a folder', 'a file'];
    throw new LockstepError('bad-option', `--out is ${target}, ${is}: ${format} writes ${mustBe}; name another place`);
  }
  const files = isFolder ? exported.folder : { '': exported.file };
  try {
    await mkdir(isFolder ? target : path.dirname(target), { recursive: true });
    // All are written before the first gets its name. Of a folder that is there already, other files stay.
    const names = Object.keys(files).map((name) => path.join(target, name));
    for (const [index, bytes] of Object.values(files).entries()) await writeFile(`${names[index]}.partial`, bytes);
    for (const name of names) await rename(`${name}.partial`, name);
  } catch (cause) {
    const why = systemCodeOf(cause);
    if (why === undefined) throw cause;
    throw new LockstepError('bad-option', `--out ${target} cannot be written (${why}): name another place`, { cause });
  }
  return Object.values(files).reduce((sum, { length }) => sum + length, 0);
}
