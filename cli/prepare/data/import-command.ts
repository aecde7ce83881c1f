// lockstep data import: writes a packed dataset.
import type { Command } from 'commander';
import { importDataset } from '../../../datasets/import-dataset.js';
import { importWarnings } from '../../../datasets/images/import-warnings.js';
import { formatCount } from '../../output/format.js';
import { printable, printLines } from '../../output/printer.js';
import { describeManifest } from './describe-dataset.js';
import { addReadOptions, type ReadOptionValues } from './read-command-options.js';
import { withProgress } from './transfer-progress.js';

export function configureImport(command: Command): void {
  command
    .description(
      'Write a packed dataset: the images at their final size, and a manifest with their SHA-256s. An interrupted ' +
        'import resumes where it stopped.',
    )
    .argument('<SRC>', 'folder of the dataset: images in one folder per class, CIFAR-10, CIFAR-100 or MNIST')
    .argument('<OUT>', 'folder for the packed dataset')
    .option('--force', 'replace a different dataset in OUT');
  addReadOptions(command);
  command.action(async (source: string, target: string, options: ReadOptionValues & { force?: true }) => {
    const { force = false, json, ...settings } = options;
    const { manifest, isReused } = await withProgress(command, 'importing', formatImages, async (transfer) =>
      importDataset(source, target, { ...settings, ...transfer, overwrite: force }),
    );
    printWarnings(command, importWarnings(manifest));
    if (json) {
      printLines(command, [JSON.stringify({ folder: target, isReused, ...manifest }, null, 2)]);
      return;
    }
    const state = isReused ? `${target} is up to date: neither the images nor the options have changed.` : undefined;
    printLines(command, [
      ...describeManifest(manifest),
      '',
      printable(state ?? `Wrote them to ${target}; train with --data ${target}.`),
    ]);
  });
}

export function formatImages(count: number): string {
  return formatCount(count, 'image');
}

export function printWarnings(command: Command, warnings: readonly string[]): void {
  for (const warning of warnings) command.configureOutput().writeErr?.(`lockstep: warning: ${printable(warning)}\n`);
}
