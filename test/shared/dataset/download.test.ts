import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as tar from 'tar';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  archiveFolder,
  cifar10Files,
  officialClassNames,
  cifar10Description,
} from '../../../shared/dataset/cifar10-layout.js';
import { loadCifar10, writeCifar10 } from '../../../shared/dataset/cifar10.js';
import { archiveFile, downloadCifar10, officialArchive, type CifarArchive } from '../../../shared/dataset/download.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import { LockstepError } from '../../../shared/errors.js';

// Synthetic images with the official class names, packed like the official archive: in a single folder that also
// contains a web page.
const dataset = { ...synthesizeDataset({ trainingImages: 10, testImages: 3 }), description: cifar10Description };
let workshop = '';
let archiveBytes: Buffer = Buffer.alloc(0);
let archive: CifarArchive = officialArchive;

/** Request handler of the server, replaced by tests. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = () => undefined;
/** Range header of each request, or '' for a request without one. */
let ranges: string[] = [];
const server = createServer((request, response) => {
  ranges.push(request.headers.range ?? '');
  answer(request, response);
});

beforeAll(async () => {
  workshop = await mkdtemp(path.join(tmpdir(), 'lockstep-archive-'));
  await writeCifar10(path.join(workshop, archiveFolder), dataset);
  await writeFile(path.join(workshop, archiveFolder, 'readme.html'), '<p>CIFAR-10</p>');
  await tar.create({ gzip: true, file: path.join(workshop, archiveFile), cwd: workshop }, [archiveFolder]);
  archiveBytes = await readFile(path.join(workshop, archiveFile));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  archive = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${archiveFile}`,
    bytes: archiveBytes.length,
    md5: createHash('md5').update(archiveBytes).digest('hex'),
    trainingImages: 10,
    testImages: 3,
  };
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(workshop, { recursive: true, force: true });
});

let folder = '';
let archivePath = '';
let partialPath = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lockstep-download-'));
  archivePath = path.join(folder, archiveFile);
  partialPath = `${archivePath}.partial`;
  ranges = [];
  answer = answerWithRanges;
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Responds to a request with or without a Range header, like the official server. */
function answerWithRanges(request: IncomingMessage, response: ServerResponse): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (start >= archiveBytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${archiveBytes.length}` }).end();
    return;
  }
  const rest = archiveBytes.subarray(start);
  if (start > 0) {
    response.writeHead(206, {
      'content-length': rest.length,
      'content-range': `bytes ${start}-${archiveBytes.length - 1}/${archiveBytes.length}`,
    });
  } else {
    response.writeHead(200, { 'content-length': rest.length });
  }
  response.end(rest);
}

/**
 * Returns a request handler that sends `bytesEach` bytes per connection, and an `onProgress` listener that closes the
 * connection once bytes received over it have been written to disk.
 */
function disconnectingServer(bytesEach: number) {
  let current: ServerResponse | undefined;
  let start = 0;
  return {
    answer: (request: IncomingMessage, response: ServerResponse) => {
      current = response;
      start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(start > 0 ? 206 : 200, {
        'content-length': archiveBytes.length - start,
        ...(start > 0 ? { 'content-range': `bytes ${start}-${archiveBytes.length - 1}/${archiveBytes.length}` } : {}),
      });
      response.write(archiveBytes.subarray(start, start + bytesEach));
    },
    onProgress: (received: number) => {
      if (received > start) current?.destroy();
    },
  };
}

async function failureOf(attempt: Promise<unknown>): Promise<LockstepError> {
  const error: unknown = await attempt.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof LockstepError) return error;
  throw new Error(`expected a LockstepError, got ${String(error)}`);
}

async function expectWholeSet(): Promise<void> {
  const loaded = await loadCifar10(folder);
  expect(Buffer.compare(loaded.training, dataset.training)).toBe(0);
  expect(Buffer.compare(loaded.test, dataset.test)).toBe(0);
  expect(loaded.description.classNames).toEqual(officialClassNames);
}

describe('a download', () => {
  it('leaves the seven files and nothing else', async () => {
    const progress: number[] = [];
    const onProgress = (received: number, total: number) => {
      expect(total).toBe(archive.bytes);
      progress.push(received);
    };
    expect(await downloadCifar10(folder, { archive, onProgress })).toBe('downloaded');
    await expectWholeSet();
    expect((await readdir(folder)).toSorted()).toEqual([...cifar10Files].toSorted());
    expect(progress[0]).toBe(0);
    expect(progress.at(-1)).toBe(archive.bytes);
    expect(ranges).toEqual(['']);
  });

  it('resumes an earlier download', async () => {
    await writeFile(partialPath, archiveBytes.subarray(0, 1000));
    const progress: number[] = [];
    await downloadCifar10(folder, { archive, onProgress: (received) => progress.push(received) });
    await expectWholeSet();
    expect(ranges).toEqual(['bytes=1000-']);
    expect(progress[0]).toBe(1000);
  });

  it('reconnects as long as each connection receives something', async () => {
    const disconnecting = disconnectingServer(1000);
    answer = (request, response) => (ranges.length <= 3 ? disconnecting.answer : answerWithRanges)(request, response);
    await downloadCifar10(folder, { archive, onProgress: disconnecting.onProgress });
    await expectWholeSet();
    expect(ranges).toHaveLength(4);
  });

  it('starts over if the server ignores the range and responds with 200', async () => {
    await writeFile(partialPath, Buffer.alloc(1000, 7));
    answer = (_request, response) => response.writeHead(200).end(archiveBytes);
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual(['bytes=1000-']);
  });

  it('starts over after a 416 response', async () => {
    await writeFile(partialPath, archiveBytes.subarray(0, 1000));
    answer = (request, response) => {
      if (request.headers.range === undefined) answerWithRanges(request, response);
      else response.writeHead(416).end();
    };
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual(['bytes=1000-', '']);
  });

  it('starts over if the partial file is longer than the archive', async () => {
    await writeFile(partialPath, Buffer.alloc(archive.bytes + 1));
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual(['']);
  });

  it('makes no request if the partial file is complete', async () => {
    await writeFile(partialPath, archiveBytes);
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual([]);
  });

  it('can use another URL', async () => {
    const elsewhere = { ...archive, url: 'http://127.0.0.1:9/nothing-listens-here' };
    expect(await downloadCifar10(folder, { archive: elsewhere, url: archive.url })).toBe('downloaded');
    await expectWholeSet();
  });

  it('keeps the received bytes when it is interrupted', async () => {
    const abort = new AbortController();
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': archive.bytes });
      response.write(archiveBytes.subarray(0, 1000));
    };
    const onProgress = (received: number) => {
      if (received > 0) abort.abort();
    };
    const error = await failureOf(downloadCifar10(folder, { archive, onProgress, signal: abort.signal }));
    expect(error.code).toBe('interrupted');
    expect(error.message).toContain('are kept in');
    expect(existsSync(partialPath)).toBe(true);

    answer = answerWithRanges;
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
  });
});

describe('a failed download', () => {
  const faults: { title: string; partialBytes?: number; answer: typeof answer; contains: string }[] = [
    {
      title: 'a 404 response',
      answer: (_, response) => response.writeHead(404).end(),
      contains: 'responded with 404 Not Found',
    },
    {
      title: 'a connection that is closed at once',
      answer: (request) => request.socket.destroy(),
      contains: 'cannot be downloaded: fetch failed (',
    },
    {
      title: 'a different size',
      answer: (_, response) => response.writeHead(200, { 'content-length': 5 }).end('12345'),
      contains: 'has 5 bytes, expected',
    },
    {
      title: 'a different size when resuming',
      partialBytes: 10,
      answer: (_, response) => response.writeHead(206, { 'content-range': 'bytes 10-11/12' }).end('ab'),
      contains: 'has 12 bytes, expected',
    },
    {
      title: 'a range that was not requested',
      partialBytes: 10,
      answer: (_, response) =>
        response.writeHead(206, { 'content-range': `bytes 0-1/${archive.bytes}` }).end(archiveBytes.subarray(0, 2)),
      contains: 'sent a range that was not requested: bytes 0-1/',
    },
    {
      title: 'more bytes than the archive has',
      answer: (_, response) => response.writeHead(200).end(Buffer.alloc(archive.bytes + 1)),
      contains: 'sent more than the',
    },
  ];

  it.each(faults.map((fault) => [fault.title, fault] as const))(
    'reports %s with the URL and what to do',
    async (_, fault) => {
      if (fault.partialBytes !== undefined) await writeFile(partialPath, archiveBytes.subarray(0, fault.partialBytes));
      answer = fault.answer;
      const error = await failureOf(downloadCifar10(folder, { archive }));
      expect(error.code).toBe('download-failed');
      expect(error.message).toContain(archive.url);
      expect(error.message).toContain(fault.contains);
      expect(error.message).toContain(`copy the file to ${archivePath}`);
      expect(existsSync(path.join(folder, 'batches.meta.txt'))).toBe(false);
    },
  );

  it('deletes a file with a wrong MD5, so that the next download starts over', async () => {
    const damaged = Buffer.from(archiveBytes);
    damaged[100] ^= 1;
    answer = (_request, response) => response.writeHead(200).end(damaged);
    const error = await failureOf(downloadCifar10(folder, { archive }));
    expect(error.code).toBe('download-failed');
    expect(error.message).toContain(`expected ${archive.md5}`);
    expect(await readdir(folder)).toEqual([]);
  });

  it('keeps the partial file if the server closes every connection', async () => {
    const disconnecting = disconnectingServer(10);
    answer = disconnecting.answer;
    const error = await failureOf(downloadCifar10(folder, { archive, onProgress: disconnecting.onProgress }));
    expect(error.code).toBe('download-failed');
    expect(error.message).toContain('stopped after');
    expect(existsSync(partialPath)).toBe(true);
  });

  it('reports a folder that cannot be created', async () => {
    await writeFile(path.join(folder, 'file'), '');
    const error = await failureOf(downloadCifar10(path.join(folder, 'file', 'data'), { archive }));
    expect(error.code).toBe('download-failed');
    expect(error.message).toContain(path.join(folder, 'file', 'data'));
  });
});

describe('an archive that the user has put into the folder', () => {
  it('is unpacked without a request and kept', async () => {
    await writeFile(archivePath, archiveBytes);
    expect(await downloadCifar10(folder, { archive })).toBe('unpacked');
    await expectWholeSet();
    expect(ranges).toEqual([]);
    expect(existsSync(archivePath)).toBe(true);
  });

  it('is rejected and kept if its size or MD5 is wrong', async () => {
    await writeFile(archivePath, archiveBytes.subarray(1));
    expect((await failureOf(downloadCifar10(folder, { archive }))).message).toContain(`has ${archive.bytes - 1} bytes`);
    const damaged = Buffer.from(archiveBytes);
    damaged[100] ^= 1;
    await writeFile(archivePath, damaged);
    expect((await failureOf(downloadCifar10(folder, { archive }))).message).toContain('has the MD5');
    expect(existsSync(archivePath)).toBe(true);
    expect(ranges).toEqual([]);
  });
});

describe('a folder that already holds images', () => {
  it('is not changed, without a request, if they are the same dataset', async () => {
    await writeCifar10(folder, dataset);
    expect(await downloadCifar10(folder, { archive })).toBe('already there');
    expect(ranges).toEqual([]);
  });

  it('is not changed, with an error, if they are another dataset, unless overwrite is set', async () => {
    const synthetic = synthesizeDataset({ trainingImages: 5, testImages: 1 });
    await writeCifar10(folder, synthetic);
    const error = await failureOf(downloadCifar10(folder, { archive }));
    expect(error.code).toBe('bad-data');
    expect(error.message).toContain('5 training and 1 test images of striped disc');
    expect(error.message).toContain('`overwrite`');
    expect(Buffer.compare((await loadCifar10(folder)).training, synthetic.training)).toBe(0);

    await downloadCifar10(folder, { archive, overwrite: true });
    await expectWholeSet();
  });

  it('is repaired without overwrite if they are incomplete', async () => {
    await writeCifar10(folder, dataset);
    await rm(path.join(folder, 'data_batch_2.bin'));
    await mkdir(path.join(folder, 'something-else'));
    expect(await downloadCifar10(folder, { archive })).toBe('downloaded');
    await expectWholeSet();
    expect(existsSync(path.join(folder, 'something-else'))).toBe(true);
  });
});
