// `lockstep data`: fetch CIFAR-10, check it, or draw a synthetic set in its layout.
import { stat } from 'node:fs/promises';
import { InvalidArgumentError, type Command } from 'commander';
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

/** A million records are 3 GB: what one buffer and most machines hold. */
const maxImages = 1_000_000;

/** Adds `data download`, `data verify` and `data synthesize`. Their actions throw LockstepError. */
export function addDataCommands(program: Command): void {
  const data = program
    .command('data')
    .description('fetch CIFAR-10, check it, or draw synthetic images in its layout')
    .addHelpText(
      'after',
      `
Examples:
  lockstep data download            the real images, into ./data, where train finds them
  lockstep data synthesize drawn    50,000 + 10,000 drawn images of ten classes, without a network
  lockstep data verify drawn        files, records and images per class`,
    );
  const out = (line: string) => program.configureOutput().writeOut?.(`${line}\n`);
  const err = (line: string) => program.configureOutput().writeErr?.(`${line}\n`);

  data
    .command('download')
    .description('download the official CIFAR-10 files (170 MB); an interrupted download goes on where it ended')
    .argument('[DIR]', 'folder for the files', defaultDataDirectory)
    .option(
      '--url <URL>',
      'another place that has the official archive; its MD5 is demanded',
      webAddress,
      officialArchive.url,
    )
    .option('--force', 'replace other images in DIR')
    .addHelpText(
      'after',
      `\nWithout a network: put the archive at DIR/${archiveFile} and run this; it is checked and unpacked.`,
    )
    .action(async (directory: string, options: { url: string; force?: true }) => {
      await assertNoFile(directory);
      const progress = process.stderr.isTTY ? progressBar() : progressLines(err);
      const outcome = await downloadCifar10(directory, {
        url: options.url,
        overwrite: options.force === true,
        onProgress: progress.update,
      }).finally(progress.stop);
      out(
        {
          downloaded: `Downloaded CIFAR-10 into ${directory}.`,
          unpacked: `Unpacked ${directory}/${archiveFile}; no network was used.`,
          'already there': `${directory} already holds the official CIFAR-10 files.`,
        }[outcome],
      );
    });

  data
    .command('verify')
    .description('check that the files are whole and print records and images per class')
    .argument('[DIR]', 'folder with the files, or with the unpacked cifar-10-batches-bin', defaultDataDirectory)
    .action(async (directory: string) => {
      for (const line of await reportOf(directory)) out(line);
    });

  data
    .command('synthesize')
    .description('draw a set of ten classes in the layout of CIFAR-10; the same seed gives the same bytes everywhere')
    .argument('[DIR]', 'folder for the files', defaultDataDirectory)
    .option('--seed <N>', 'what every image is derived from', wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option(
      '--training-images <N>',
      'images in the five training batches',
      wholeNumber(5, maxImages),
      defaultTrainingImages,
    )
    .option('--test-images <N>', 'images in the test batch', wholeNumber(1, maxImages), defaultTestImages)
    .option('--force', 'replace the images in DIR')
    .action(
      async (
        directory: string,
        options: { seed: number; trainingImages: number; testImages: number; force?: true },
      ) => {
        await assertNoFile(directory);
        // Looked at before the drawing too, so that a refusal does not take seconds.
        if (options.force !== true) await assertNoCifar10(directory);
        const { seed, trainingImages, testImages } = options;
        out(`Drawing ${grouped(trainingImages)} training and ${grouped(testImages)} test images from seed ${seed}.`);
        const dataset = synthesizeDataset({ seed, trainingImages, testImages });
        await writeCifar10(directory, dataset, { overwrite: options.force === true });
        out(`Wrote them to ${directory}: train with --data ${directory}.`);
      },
    );
}

/** What `data verify` prints. Throws `bad-data` where something is wrong. */
async function reportOf(directory: string): Promise<string[]> {
  const files = await batchFilesOf(directory);
  const dataset = await loadCifar10(directory);
  const training = countPerClass(dataset.training);
  const test = countPerClass(dataset.test);
  const classes = dataset.classNames.map((name, label) => [name, grouped(training[label]), grouped(test[label])]);
  return [
    ...table([['file', 'records'], ...files.map(({ name, records }) => [name, grouped(records)])]),
    '',
    ...table([
      ['class', 'training', 'test'],
      ...classes,
      ['all', grouped(imageCountOf(dataset.training)), grouped(imageCountOf(dataset.test))],
    ]),
    '',
    `${directory} is sound: every file is whole, every label is 0 to 9.`,
  ];
}

/** The first column to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  '),
  );
}

interface DownloadProgress {
  update: (received: number, total: number) => void;
  stop: () => void;
}

function progressBar(): DownloadProgress {
  const bar = new cliProgress.SingleBar(
    { format: '{bar} {percentage}% | {received} of {size} MB | {eta_formatted} left', stream: process.stderr },
    cliProgress.Presets.shades_classic,
  );
  let started = false;
  return {
    update: (received, total) => {
      const payload = { received: megabytes(received), size: megabytes(total) };
      if (!started) bar.start(total, received, payload);
      else bar.update(received, payload);
      started = true;
    },
    stop: () => bar.stop(),
  };
}

/** A line at the start and whenever another tenth has arrived: for logs and pipes. */
function progressLines(write: (line: string) => void): DownloadProgress {
  let lastTenth = -1;
  return {
    update: (received, total) => {
      const tenth = Math.floor((received / total) * 10);
      if (tenth === lastTenth) return;
      lastTenth = tenth;
      write(`downloading: ${megabytes(received)} of ${megabytes(total)} MB`);
    },
    stop: () => undefined,
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** An option's parser: digits only, within limits. commander adds the option's name and the value given. */
function wholeNumber(lowest: number, highest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < lowest || value > highest) {
      throw new InvalidArgumentError(`It must be a whole number from ${lowest} to ${highest}.`);
    }
    return value;
  };
}

function webAddress(text: string): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : undefined;
  if (protocol === 'https:' || protocol === 'http:') return text;
  throw new InvalidArgumentError('It must be an address that begins with https:// or http://.');
}

/** Throws `bad-data` where what is to become a folder is something else. */
async function assertNoFile(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined);
  if (found === undefined || found.isDirectory()) return;
  throw new LockstepError('bad-data', `DIR is ${directory}, which is a file: name a folder for the images`);
}
