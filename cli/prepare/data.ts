// lockstep data: downloads CIFAR-10, verifies it, or synthesizes images in its format.
import { stat } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import cliProgress from 'cli-progress';
import { countPerClass, imageCountOf } from '../../shared/dataset/cifar10-layout.js';
import {
  batchFilesOf,
  defaultDataDirectory,
  assertNoCifar10,
  loadCifar10,
  writeCifar10,
} from '../../shared/dataset/cifar10.js';
import { archiveFile, downloadCifar10, officialArchive } from '../../shared/dataset/download.js';
import { defaultTestImages, defaultTrainingImages, synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { LockstepError } from '../../shared/errors.js';
import { wholeNumberOption } from '../options/number-options.js';
import { formatBytes, formatInteger } from '../output/format.js';
import { printLines } from '../output/printer.js';
import { formatTable } from '../output/table.js';

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
  lockstep data download           download CIFAR-10 into ./data, where train finds it
  lockstep data synthesize DIR     write 60,000 synthetic images of ten classes
  lockstep data verify DIR         check the files, and count the images per class`,
  );
  configureDownload(command.command('download').summary('Download CIFAR-10'));
  configureVerify(command.command('verify').summary('Check the image files'));
  configureSynthesize(command.command('synthesize').summary('Write synthetic images'));
}

function configureDownload(command: Command): void {
  command
    .description('Download the official CIFAR-10 files (170 MB). An interrupted download resumes where it stopped.')
    .argument('[DIR]', 'folder for the files', defaultDataDirectory)
    .addOption(
      new Option('--url <URL>', 'URL of the archive, for a mirror; its MD5 must be that of the official archive')
        .argParser(parseUrl)
        .default(officialArchive.url),
    )
    .option('--force', 'replace a different dataset in DIR')
    .addHelpText('after', `\nWithout network access, copy ${archiveFile} into DIR first: the command then unpacks it.`)
    .action(async (directory: string, { url, force }: { url: string; force?: true }) => {
      await assertNotAFile(directory);
      const progress = process.stderr.isTTY ? progressBar() : progressLines(command);
      const outcome = await downloadCifar10(directory, {
        url,
        overwrite: force === true,
        onProgress: progress.update,
      }).finally(progress.stop);
      const messages = {
        downloaded: `Downloaded CIFAR-10 into ${directory}.`,
        unpacked: `Unpacked ${directory}/${archiveFile} without using the network.`,
        'already there': `${directory} already contains the official CIFAR-10 files.`,
      };
      printLines(command, [messages[outcome]]);
    });
}

function configureVerify(command: Command): void {
  command
    .description('Check that the files are complete, and count records and images per class.')
    .argument('[DIR]', 'folder with the files, or with the unpacked cifar-10-batches-bin', defaultDataDirectory)
    .action(async (directory: string) => printLines(command, await describeDataset(directory)));
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

interface DownloadProgress {
  update: (received: number, total: number) => void;
  stop: () => void;
}

function progressBar(): DownloadProgress {
  const bar = new cliProgress.SingleBar(
    { format: '{bar} {percentage}% | {received} of {size} | {eta_formatted} left', stream: process.stderr },
    cliProgress.Presets.shades_classic,
  );
  let isStarted = false;
  return {
    update: (received, total) => {
      const payload = { received: formatBytes(received), size: formatBytes(total) };
      if (!isStarted) bar.start(total, received, payload);
      else bar.update(received, payload);
      isStarted = true;
    },
    stop: () => bar.stop(),
  };
}

/** Reports progress to logs and pipes: a line at the start and after each tenth of the download. */
function progressLines(command: Command): DownloadProgress {
  let lastTenth = -1;
  return {
    update: (received, total) => {
      const tenth = Math.floor((received / total) * 10);
      if (tenth === lastTenth) return;
      lastTenth = tenth;
      command.configureOutput().writeErr?.(`downloading: ${formatBytes(received)} of ${formatBytes(total)}\n`);
    },
    stop: () => undefined,
  };
}

function parseUrl(text: string): string {
  if (URL.canParse(text) && ['https:', 'http:'].includes(new URL(text).protocol)) return text;
  throw new LockstepError('bad-option', `--url is ${text}: it must begin with https:// or http://`);
}

async function assertNotAFile(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined);
  if (found === undefined || found.isDirectory()) return;
  throw new LockstepError('bad-data', `DIR is ${directory}, which is a file: specify a folder for the images`);
}
