// lockstep data: downloads, imports, describes and verifies datasets, or synthesizes images in the format of CIFAR-10.
import type { Command } from 'commander';
import { countPerClass, imageCountOf } from '../../shared/dataset/cifar10-layout.js';
import {
  batchFilesOf,
  defaultDataDirectory,
  assertNoCifar10,
  loadCifar10,
  writeCifar10,
} from '../../shared/dataset/cifar10.js';
import { defaultTestImages, defaultTrainingImages, synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { wholeNumberOption } from '../options/number-options.js';
import { formatInteger } from '../output/format.js';
import { printLines } from '../output/printer.js';
import { formatTable } from '../output/table.js';
import { configureDownload } from './data/download-command.js';
import { assertNotAFile } from './data/folder-argument.js';
import { configureImport } from './data/import-command.js';
import { configureInfo } from './data/info-command.js';
import { verifyDataset } from './data/verify-dataset.js';

/**
 * Maximum number of images per split. A million records take 3 GB, which fits into one buffer and into the memory of
 * most machines.
 */
const maxImages = 1_000_000;

export function configure(command: Command): void {
  command.helpCommand(false).addHelpText(
    'after',
    `
Examples:
  lockstep data download                   download CIFAR-10 into ./data, where train finds it
  lockstep data download mnist DIR         download MNIST
  lockstep data info PHOTOS                import a folder of images, as train does, and describe it
  lockstep data import PHOTOS OUT          write a packed dataset, to copy to other machines
  lockstep data verify DIR                 check the files, and count the images per class
  lockstep data synthesize DIR             write 60,000 synthetic images of ten classes`,
  );
  configureDownload(command.command('download').summary('Download CIFAR-10, CIFAR-100, MNIST or Fashion-MNIST'));
  configureImport(command.command('import').summary('Write a packed dataset'));
  configureInfo(command.command('info').summary('Describe a dataset'));
  configureVerify(command.command('verify').summary('Check the files of a dataset'));
  configureSynthesize(command.command('synthesize').summary('Write synthetic images'));
}

function configureVerify(command: Command): void {
  command
    .description('Check the files of a dataset against their sizes and SHA-256s, and count the images per class.')
    .argument('[DIR]', 'folder of the dataset', defaultDataDirectory)
    .action(async (directory: string) =>
      printLines(command, (await verifyDataset(command, directory)) ?? (await describeDataset(directory))),
    );
}

function configureSynthesize(command: Command): void {
  const countOption = (flags: string, description: string, minimum: number, defaultCount: number) =>
    wholeNumberOption(flags, description, minimum, maxImages).default(defaultCount);
  command
    .description(
      'Write synthetic images of ten classes in the format of CIFAR-10. The same seed gives the same bytes on every machine.',
    )
    .argument('[DIR]', 'folder for the files', defaultDataDirectory)
    .addOption(wholeNumberOption('--seed <N>', 'random seed', 0).default(0))
    .addOption(
      countOption(
        '--training-images <N>',
        'total number of images in the five training files',
        5,
        defaultTrainingImages,
      ),
    )
    .addOption(countOption('--test-images <N>', 'number of images in the test file', 1, defaultTestImages))
    .option('--force', 'replace the images in DIR')
    .action(async (directory: string, options: SynthesizeOptionValues) => {
      const { force = false, ...request } = options;
      await assertNotAFile(directory);
      // writeCifar10 checks this too, but only after the images have been synthesized, which takes seconds.
      if (!force) await assertNoCifar10(directory);
      const counts = `${formatInteger(request.trainingImages)} training and ${formatInteger(request.testImages)} test images`;
      printLines(command, [`Synthesizing ${counts} from seed ${request.seed}.`]);
      await writeCifar10(directory, synthesizeDataset(request), { overwrite: force });
      printLines(command, [`Wrote them to ${directory}; train with --data ${directory}.`]);
    });
}

interface SynthesizeOptionValues {
  seed: number;
  trainingImages: number;
  testImages: number;
  force?: true;
}

/** Describes the files and the number of images per class. Throws `bad-data` if a file is damaged. */
async function describeDataset(directory: string): Promise<string[]> {
  const files = await batchFilesOf(directory);
  const dataset = await loadCifar10(directory);
  const training = countPerClass(dataset.training);
  const test = countPerClass(dataset.test);
  const counts = (name: string, ...values: number[]) => [name, ...values.map(formatInteger)];
  return [
    ...formatTable([['file', 'records'], ...files.map(({ name, records }) => counts(name, records))]),
    '',
    ...formatTable([
      ['class', 'training', 'test'],
      ...dataset.description.classNames.map((name, label) => counts(name, training[label], test[label])),
      counts('all', imageCountOf(dataset.training), imageCountOf(dataset.test)),
    ]),
    '',
    `${directory} is valid: every file is complete, and every label is from 0 to 9.`,
  ];
}
