// lockstep export: converts a checkpoint to a model file for other software.
import { Option, type Command } from 'commander';
import { loadTrainedModel } from '../../inference/trained-model.js';
import {
  exportFormats,
  exportModel,
  formatOf,
  loadingHints,
  type ExportFormat,
} from '../../inference/export/formats.js';
import { formatBytes } from '../output/format.js';
import { printLines } from '../output/printer.js';

interface ExportOptionValues {
  to?: ExportFormat;
  out: string;
  force: boolean;
}

export function configure(command: Command): void {
  command
    .description('Convert a checkpoint to a model for Keras, TensorFlow, TensorFlow.js or ONNX, or to safetensors.')
    .argument('<CHECKPOINT>', 'checkpoint, or a run directory for its latest one')
    .requiredOption('--out <PATH>', 'file to write; for savedmodel and tfjs, the folder')
    .addOption(
      new Option(
        '--to <FORMAT>',
        'format; required for savedmodel and tfjs (default: by the extension of --out: .keras, .onnx or .safetensors)',
      ).choices(exportFormats),
    )
    .option('--force', 'replace an existing file', false)
    .addHelpText(
      'after',
      `
The input of an exported model is float32 [N, height, width, channels]: red,
green, blue, or gray, from 0 to 255, as preprocessing is part of the model. The
output is logits [N, classes]. safetensors contains the weights only.

Examples:
  lockstep export runs/a --out model.keras
  lockstep export runs/a --out model.onnx
  lockstep export runs/a --out model.safetensors
  lockstep export runs/a --to savedmodel --out model
  lockstep export runs/a --to tfjs --out web`,
    )
    .action(async (location: string, { out, to = formatOf(out), force }: ExportOptionValues) => {
      const { model, checkpoint } = await loadTrainedModel(location);
      const bytes = await exportModel(model, { to, out, force });
      printLines(command, [
        `${checkpoint} (step ${model.step}) exported as ${to}: ${out}, ${formatBytes(bytes)}`,
        `load it with: ${loadingHints[to](out)}`,
      ]);
    });
}
