// lockstep export: a checkpoint as a model that others load.
import { Option, type Command } from 'commander';
import { trainedModelOf } from '../../inference/trained-model.js';
import { exportFormats, exportModel, loadingHints, type ExportFormat } from '../../inference/export/formats.js';

export function addExportCommand(program: Command): void {
  program
    .command('export')
    .description('write a checkpoint as a model for Keras, TensorFlow, TensorFlow.js, ONNX, or as safetensors')
    .argument('<CHECKPOINT>', 'a checkpoint, or a run’s folder, which means its latest')
    .addOption(new Option('--to <FORMAT>', 'what to write').choices(exportFormats).makeOptionMandatory())
    .requiredOption('--out <PATH>', 'the file to write; with savedmodel and tfjs the folder')
    .option('--force', 'replace what is there', false)
    .addHelpText(
      'after',
      `
Each takes float32 pixels [N, 32, 32, 3], red, green, blue, 0 to 255, and gives logits [N, 10]: the preprocessing is part of
the model. Only safetensors holds the weights alone, under their own names.

Examples:
  lockstep export runs/a --to keras --out model.keras        keras.models.load_model, no code of ours
  lockstep export runs/a --to savedmodel --out model         tf.saved_model.load, TensorFlow Serving
  lockstep export runs/a --to tfjs --out web                 tf.loadGraphModel('web/model.json')
  lockstep export runs/a --to onnx --out model.onnx          onnxruntime
  lockstep export runs/a --to safetensors --out model.safetensors`,
    )
    .action(async (location: string, options: { to: ExportFormat; out: string; force: boolean }) => {
      const { to: format, out: target, force } = options;
      const { model, checkpoint } = await trainedModelOf(location);
      const bytes = await exportModel(model, { format, target, force });
      const say = (line: string) => program.configureOutput().writeOut?.(`${line}\n`);
      say(`${checkpoint} (step ${model.step}) as ${format}: ${target}, ${(bytes / 1e6).toFixed(2)} MB`);
      say(`load it with: ${loadingHints[format](target)}`);
    });
}
