import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import * as tar from 'tar';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { coarseClassNames, fineClassNames } from '../../datasets/class-names.js';
import { downloadDataset } from '../../datasets/download/download-dataset.js';
import { knownDatasets, type KnownDataset } from '../../datasets/download/known-datasets.js';
import { readDataset } from '../../datasets/read-dataset.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { writeIdx } from '../support/idx-files.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const inServer = folderPerFile();
/** Paths of the requests that the server has received. */
let requests: string[] = [];
/** Number of bytes after which the server ends a connection. */
let limit = Infinity;
const server = createServer((request, response) => void answer(request, response));

async function answer({ url, headers }: IncomingMessage, response: ServerResponse): Promise<void> {
  requests.push(url!);
  const start = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
  const bytes = await readFile(inServer(url!));
  const rest = bytes.subarray(start);
  const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': rest.length, 'content-range': range });
  response.write(rest.subarray(0, limit));
  if (rest.length <= limit) response.end();
  // Ended at once, the connection might fail before the client has received the bytes.
  else setTimeout(() => response.destroy(), 50);
}

/** Describes files on the server. */
async function known(base: KnownDataset, folder: string, trainingImages: number, testImages: number) {
  const files = [];
  for (const { name } of base.files) {
    const bytes = await readFile(inServer(folder, name));
    files.push({ name, bytes: bytes.length, md5: createHash('md5').update(bytes).digest('hex') });
  }
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${folder}/`;
  return { ...base, url, files, trainingImages, testImages };
}

let mnist: KnownDataset;
let cifar100: KnownDataset;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await writeIdx(inServer('mnist'), { gzip: true });
  mnist = await known(knownDatasets.mnist, 'mnist', 3, 2);
  const archived = inServer('archived/cifar-100-binary');
  await mkdir(archived, { recursive: true });
  await writeFile(path.join(archived, 'train.bin'), Buffer.alloc(2 * 3074, 7));
  await writeFile(path.join(archived, 'test.bin'), Buffer.alloc(3074, 8));
  await writeFile(path.join(archived, 'fine_label_names.txt'), `${fineClassNames.join('\n')}\n`);
  await writeFile(path.join(archived, 'coarse_label_names.txt'), `${coarseClassNames.join('\n')}\n`);
  await mkdir(inServer('cifar'));
  const file = inServer('cifar/cifar-100-binary.tar.gz');
  await tar.create({ gzip: true, file, cwd: inServer('archived') }, ['cifar-100-binary']);
  cifar100 = await known(knownDatasets.cifar100, 'cifar', 2, 1);
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

let folder = '';
beforeEach(async () => {
  folder = path.join(await temporaryFolder(), 'data');
  requests = [];
  limit = Infinity;
});

describe('downloadDataset', () => {
  it('downloads the four files of MNIST, and reports progress over all of them', async () => {
    const progress: [number, number][] = [];
    const onProgress = (received: number, total: number) => progress.push([received, total]);
    expect(await downloadDataset('mnist', folder, { known: mnist, onProgress })).toBe('downloaded');
    expect(await readdir(folder)).toEqual(mnist.files.map(({ name }) => name).toSorted());
    expect((await readDataset(folder)).training.length).toBe(3 * 785);
    const total = mnist.files.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(progress.at(-1)).toEqual([total, total]);
    expect(progress.map(([received]) => received)).toEqual(
      progress.map(([received]) => received).toSorted((a, b) => a - b),
    );
    expect(await downloadDataset('mnist', folder, { known: mnist })).toBe('already there');
    expect(requests).toHaveLength(4);
  });

  it('downloads from a mirror', async () => {
    const moved = { ...mnist, url: 'http://127.0.0.1:9/' };
    expect(await downloadDataset('mnist', folder, { known: moved, url: mnist.url.replace(/\/$/, '') })).toBe(
      'downloaded',
    );
  });

  it('downloads only the files of MNIST that are missing or damaged', async () => {
    await downloadDataset('mnist', folder, { known: mnist });
    await writeFile(path.join(folder, mnist.files[1].name), 'damaged');
    await rm(path.join(folder, mnist.files[3].name));
    requests = [];
    expect(await downloadDataset('mnist', folder, { known: mnist })).toBe('downloaded');
    expect(requests).toEqual([`/mnist/${mnist.files[1].name}`, `/mnist/${mnist.files[3].name}`]);
  });

  it('unpacks CIFAR-100 and keeps only its files', async () => {
    expect(await downloadDataset('cifar100', folder, { known: cifar100 })).toBe('downloaded');
    expect(await readdir(folder)).toEqual(['coarse_label_names.txt', 'fine_label_names.txt', 'test.bin', 'train.bin']);
    const { training, test } = await readDataset(folder);
    expect([training[0], test?.[0]]).toEqual([7, 8]);
    expect(await downloadDataset('cifar100', folder, { known: cifar100 })).toBe('already there');
  });

  it('unpacks an archive that is already in the folder', async () => {
    await mkdir(folder);
    await cp(inServer('cifar/cifar-100-binary.tar.gz'), path.join(folder, 'cifar-100-binary.tar.gz'));
    expect(await downloadDataset('cifar100', folder, { known: cifar100 })).toBe('unpacked');
    expect(requests).toEqual([]);
  });

  it('resumes when the connection ends early', async () => {
    limit = 500;
    expect(await downloadDataset('cifar100', folder, { known: cifar100 })).toBe('downloaded');
    expect(requests.length).toBeGreaterThan(1);
  });

  it('keeps what has arrived when it is aborted', async () => {
    const abort = new AbortController();
    limit = 100;
    const aborted = downloadDataset('cifar100', folder, {
      known: cifar100,
      signal: abort.signal,
      onProgress: (received) => {
        if (received >= 100) abort.abort();
      },
    });
    await expect(aborted).rejects.toMatchObject({ code: 'interrupted' });
    expect(await readdir(folder)).toEqual(['cifar-100-binary.tar.gz.partial']);
    limit = Infinity;
    expect(await downloadDataset('cifar100', folder, { known: cifar100 })).toBe('downloaded');
  });

  it('refuses a file with another MD5, and deletes it', async () => {
    const files = [{ ...cifar100.files[0], md5: '0'.repeat(32) }];
    await expect(downloadDataset('cifar100', folder, { known: { ...cifar100, files } })).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringMatching(/has the MD5 [0-9a-f]{32}, expected 0{32}/),
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it('replaces a different dataset of the same format only if requested', async () => {
    await writeIdx(folder, { trainingLabels: [1, 2, 3, 4], testLabels: [1] });
    await expect(downloadDataset('mnist', folder, { known: mnist })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('4 training and 1 test images): choose another folder'),
    });
    expect(await downloadDataset('mnist', folder, { known: mnist, overwrite: true })).toBe('downloaded');
    expect((await readDataset(folder)).training.length).toBe(3 * 785);
  });

  it('refuses a folder that holds a dataset of another format', async () => {
    await writeCifar10(folder, synthesizeDataset({ trainingImages: 5, testImages: 1 }));
    await expect(downloadDataset('mnist', folder, { known: mnist, overwrite: true })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('already holds another dataset, which would be read instead of MNIST'),
    });
  });
});
