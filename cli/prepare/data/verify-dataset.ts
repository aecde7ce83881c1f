// Checks the files of datasets other than CIFAR-10 for lockstep data verify.
import type { Command } from 'commander';
import { locateDataset, openDataset } from '../../../datasets/read-dataset.js';
import { printable } from '../../output/printer.js';
import { describeManifest } from './describe-dataset.js';
import { formatImages, printWarnings } from './import-command.js';
import { manifestFor } from './info-command.js';
import { withProgress } from './transfer-progress.js';

const checks = {
  packed: 'every file has the SHA-256 in its manifest',
  images: 'the imported images have the SHA-256 in their manifest',
  cifar100: 'every file is complete, and every label is in its range',
  idx: 'every file has the size in its header, and there is one label per image',
};

/**
 * Describes a dataset after checking its files. Returns undefined for CIFAR-10. Throws `bad-data` if a file is damaged.
 */
export async function verifyDataset(command: Command, directory: string): Promise<string[] | undefined> {
  const { format } = await locateDataset(directory);
  if (format === 'cifar10') return undefined;
  const warnings: string[] = [];
  const opened = await withProgress(command, 'importing', formatImages, async (transfer) =>
    openDataset(directory, { ...transfer, onWarning: (text) => warnings.push(text) }),
  );
  printWarnings(command, warnings);
  return [...describeManifest(await manifestFor(opened)), '', printable(`${directory} is valid: ${checks[format]}.`)];
}
