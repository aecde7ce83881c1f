// Export formats for trained models. Files are written completely or not at all.
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LockstepError, systemCodeOf } from '../../shared/errors.js';
import type { TrainedModel } from './network.js';

export const exportFormats = ['keras', 'savedmodel', 'tfjs', 'onnx', 'safetensors'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** An encoded model: a single file, or the files of a folder by name. */
export type Exported = { file: Uint8Array } | { folder: Readonly<Record<string, Uint8Array>> };

/** File name extensions of the single-file formats. */
const extensions: Partial<Record<ExportFormat, string>> = {
  keras: '.keras',
  onnx: '.onnx',
  safetensors: '.safetensors',
};

/** Code that loads an exported model, by format. */
export const loadingHints: Record<ExportFormat, (target: string) => string> = {
  keras: (target) => `keras.models.load_model(${JSON.stringify(target)})`,
  savedmodel: (target) => `tf.saved_model.load(${JSON.stringify(target)}).signatures["serving_default"]`,
  tfjs: (target) => `tf.loadGraphModel(URL of ${path.join(target, 'model.json')})`,
  onnx: (target) => `onnxruntime.InferenceSession(${JSON.stringify(target)})`,
  safetensors: (target) => `safetensors.numpy.load_file(${JSON.stringify(target)})`,
};

/** Returns the format that a file name implies. Throws `bad-option` for names without a known extension. */
export function formatOf(out: string): ExportFormat {
  const extension = path.extname(out);
  const format = exportFormats.find((each) => extensions[each] === extension);
  if (format !== undefined) return format;
  throw new LockstepError(
    'bad-option',
    `\`out\` is ${out}, whose extension does not name a format (${Object.values(extensions).join(', ')}): choose one with ` +
      `\`to\`: ${exportFormats.join(', ')}`,
  );
}

/** Encodes a model. The same model always gives the same bytes. The code for each format is loaded on demand. */
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
 * Writes a model to a file or folder. Files get their final names only once all of them are complete. Throws
 * `bad-option` for a name without the format's extension, if `out` exists and `force` is false, and if `out` cannot be
 * written.
 * @param force true to replace an existing file
 * @returns number of bytes written
 */
export async function exportModel(
  model: TrainedModel,
  { to: format, out, force }: { to: ExportFormat; out: string; force: boolean },
): Promise<number> {
  const extension = extensions[format];
  if (extension !== undefined && path.extname(out) !== extension) {
    throw new LockstepError('bad-option', `\`out\` is ${out}: the name of a ${format} file must end in ${extension}`);
  }
  const present = await stat(out).catch(() => undefined);
  if (present !== undefined && !force) {
    throw new LockstepError(
      'bad-option',
      `\`out\` is ${out}, which already exists: choose another name, or replace it with \`force\``,
    );
  }
  const exported = await encodeExport(model, format);
  const isFolder = 'folder' in exported;
  if (present !== undefined && present.isDirectory() !== isFolder) {
    const [found, needed] = isFolder ? ['a file', 'a folder'] : ['a folder', 'a file'];
    throw new LockstepError(
      'bad-option',
      `\`out\` is ${out}, ${found}: ${format} needs ${needed}; choose another name`,
    );
  }
  const files = isFolder ? exported.folder : { '': exported.file };
  try {
    await mkdir(isFolder ? out : path.dirname(out), { recursive: true });
    // Other files in an existing folder are kept.
    const names = Object.keys(files).map((name) => path.join(out, name));
    for (const [index, bytes] of Object.values(files).entries()) await writeFile(`${names[index]}.partial`, bytes);
    for (const name of names) await rename(`${name}.partial`, name);
  } catch (cause) {
    const code = systemCodeOf(cause);
    if (code === undefined) throw cause;
    throw new LockstepError('bad-option', `\`out\` ${out} cannot be written (${code}): choose another path`, { cause });
  }
  return Object.values(files).reduce((sum, { length }) => sum + length, 0);
}
