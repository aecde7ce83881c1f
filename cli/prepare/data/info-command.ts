// lockstep data info: describes a dataset of any supported format.
import type { Command } from 'commander';
import { manifestOf, type Manifest } from '../../../datasets/packed/manifest.js';
import { summarize } from '../../../datasets/packed/packed-dataset.js';
import { openDataset, type OpenDataset } from '../../../datasets/read-dataset.js';
import { defaultDataDirectory } from '../../../shared/dataset/cifar10.js';
import type { Records } from '../../../shared/dataset/records.js';
import { printLines } from '../../output/printer.js';
import { describeManifest } from './describe-dataset.js';
import { formatImages, printWarnings } from './import-command.js';
import { addReadOptions, type ReadOptionValues } from './read-command-options.js';
import { withProgress } from './transfer-progress.js';

export function configureInfo(command: Command): void {
  command
    .description(
      'Describe a dataset: the shape of its images, its classes, and the number of images and the SHA-256 of each split. ' +
        'An image folder is imported into the cache first, as for training.',
    )
    .argument('[DIR]', 'folder of the dataset', defaultDataDirectory);
  addReadOptions(command);
  command.action(async (directory: string, { json, ...settings }: ReadOptionValues) => {
    const warnings: string[] = [];
    const opened = await withProgress(command, 'importing', formatImages, async (transfer) =>
      openDataset(directory, { ...settings, ...transfer, onWarning: (text) => warnings.push(text) }),
    );
    printWarnings(command, warnings);
    const { description, splits, import: imported } = await manifestFor(opened);
    const { format } = opened;
    const { source } = opened.dataset;
    printLines(
      command,
      json
        ? [JSON.stringify({ format, description, splits, source, import: imported }, null, 2)]
        : describeManifest({ description, splits, source }),
    );
  });
}

/** Returns the manifest of a dataset, or for one without a manifest, what it would contain. */
export async function manifestFor({ dataset, manifest }: OpenDataset): Promise<Manifest> {
  if (manifest !== null) return manifest;
  const { description, training, validation, test } = dataset;
  const summaryOf = async (records: Records | null) => records && summarize(records, description);
  const splits = {
    training: await summarize(training, description),
    validation: await summaryOf(validation),
    test: await summaryOf(test),
  };
  return manifestOf(dataset, splits, null);
}
