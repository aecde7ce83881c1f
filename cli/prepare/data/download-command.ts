// lockstep data download: CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST.
import path from 'node:path';
import { Argument, type Command } from 'commander';
import { downloadDataset } from '../../../datasets/download/download-dataset.js';
import { knownDatasets, type KnownDatasetName } from '../../../datasets/download/known-datasets.js';
import { defaultDataDirectory } from '../../../shared/dataset/cifar10.js';
import {
  archiveFile,
  downloadCifar10,
  officialArchive,
  type DownloadOutcome,
} from '../../../shared/dataset/download.js';
import { LockstepError } from '../../../shared/errors.js';
import { formatBytes } from '../../output/format.js';
import { printLines } from '../../output/printer.js';
import { assertNotAFile } from './folder-argument.js';
import { withProgress, type Transfer } from './transfer-progress.js';

type DatasetName = 'cifar10' | KnownDatasetName;

interface Source {
  title: string;
  /** Files of which one can be copied into the folder, so that the command works without network access. */
  files: readonly string[];
  download: (directory: string, options: DownloadOptionValues & Transfer) => Promise<DownloadOutcome>;
}

interface DownloadOptionValues {
  url?: string;
  force?: true;
}

const cifar10: Source = {
  title: 'CIFAR-10',
  files: [archiveFile],
  download: async (directory, { url = officialArchive.url, force, ...transfer }) =>
    downloadCifar10(directory, { url, overwrite: force === true, ...transfer }),
};
const names: readonly DatasetName[] = ['cifar10', ...(Object.keys(knownDatasets) as KnownDatasetName[])];

export function configureDownload(command: Command): void {
  command
    .description(
      'Download the official files of a dataset, CIFAR-10 by default. An interrupted download resumes where it stopped.',
    )
    .addArgument(new Argument('[NAME]', `dataset: ${names.join(', ')}`))
    .addArgument(
      new Argument(
        '[DIR]',
        `folder for the files (default: ${defaultDataDirectory} for cifar10, ${defaultDataDirectory}/NAME for others)`,
      ),
    )
    .option(
      '--url <URL>',
      'URL of a mirror: of the archive or, for the MNIST datasets, of the folder with the four files; the MD5s must be ' +
        'those of the official files',
      parseUrl,
    )
    .option('--force', 'replace a different dataset in DIR')
    .addHelpText(
      'after',
      `
The only argument may also be DIR: lockstep data download images downloads CIFAR-10 into images.

Without network access, copy ${archiveFile}, cifar-100-binary.tar.gz or the four files of MNIST into DIR first: the
command then unpacks or checks them.`,
    )
    .action(async (first: string | undefined, second: string | undefined, options: DownloadOptionValues) => {
      const { name, directory } = parseArguments(first, second);
      await assertNotAFile(directory);
      const { title, files, download } = sourceOf(name);
      const outcome = await withProgress(command, 'downloading', formatBytes, async (transfer) =>
        download(directory, { ...options, ...transfer }),
      );
      const messages = {
        downloaded: `Downloaded ${title} into ${directory}.`,
        unpacked: `Unpacked ${directory}/${files[0]} without using the network.`,
        'already there': `${directory} already contains the official ${title} files.`,
      };
      printLines(command, [messages[outcome]]);
    });
}

/** The name of a dataset wins over a folder of that name. A single argument that is not a name is the folder. */
function parseArguments(
  first: string | undefined,
  second: string | undefined,
): { name: DatasetName; directory: string } {
  const name = names.find((known) => known === first);
  if (name !== undefined) {
    return {
      name,
      directory: second ?? (name === 'cifar10' ? defaultDataDirectory : path.join(defaultDataDirectory, name)),
    };
  }
  if (second === undefined) return { name: 'cifar10', directory: first ?? defaultDataDirectory };
  throw new LockstepError('bad-option', `NAME is ${first}: it must be one of ${names.join(', ')}`);
}

function sourceOf(name: DatasetName): Source {
  if (name === 'cifar10') return cifar10;
  return {
    title: knownDatasets[name].title,
    files: knownDatasets[name].files.map((file) => file.name),
    download: async (directory, { url, force, ...transfer }) =>
      downloadDataset(name, directory, { url, overwrite: force === true, ...transfer }),
  };
}

function parseUrl(text: string): string {
  if (URL.canParse(text) && ['https:', 'http:'].includes(new URL(text).protocol)) return text;
  throw new LockstepError('bad-option', `--url is ${text}: it must begin with https:// or http://`);
}
