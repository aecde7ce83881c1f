import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as tar from 'tar';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { archiveFolder, cifar10Files, officialClassNames } from '../../../shared/dataset/cifar10-layout.js';
import { loadCifar10, writeCifar10 } from '../../../shared/dataset/cifar10.js';
import { archiveFile, downloadCifar10, officialArchive, type CifarArchive } from '../../../shared/dataset/download.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import { LockstepError } from '../../../shared/errors.js';

// A set of drawn images under the official names, packed as the official archive is: one folder, with a page that nobody needs.
const dataset = { ...synthesizeDataset({ trainingImages: 10, testImages: 3 }), classNames: officialClassNames };
let workshop = '';
let archiveBytes: Buffer = Buffer.alloc(0);
let archive: CifarArchive = officialArchive;

/** How the server answers, replaced by each test. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = () => undefined;
/** The Range header of each request, '' where it had none. */
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

/** A server that knows ranges, as the official one does. */
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

/** A server whose connections die once `bytesEach` more bytes have reached the disk. It hears of them by onProgress. */
function dyingServer(bytesEach: number) {
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
  expect(loaded.classNames).toEqual(officialClassNames);
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

  it('goes on behind the part that an earlier try left', async () => {
    await writeFile(partialPath, archiveBytes.subarray(0, 1000));
    const progress: number[] = [];
    await downloadCifar10(folder, { archive, onProgress: (received) => progress.push(received) });
    await expectWholeSet();
    expect(ranges).toEqual(['bytes=1000-']);
    expect(progress[0]).toBe(1000);
  });

  it('goes on by itself when a connection dies, as long as each brings something', async () => {
    const dying = dyingServer(1000);
    answer = (request, response) => (ranges.length <= 3 ? dying.answer : answerWithRanges)(request, response);
    await downloadCifar10(folder, { archive, onProgress: dying.onProgress });
    await expectWholeSet();
    expect(ranges).toHaveLength(4);
  });

  it('begins anew where the server ignores the range and answers 200', async () => {
    await writeFile(partialPath, Buffer.alloc(1000, 7));
    answer = (_request, response) => response.writeHead(200).end(archiveBytes);
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual(['bytes=1000-']);
  });

  it('begins anew after a 416', async () => {
    await writeFile(partialPath, archiveBytes.subarray(0, 1000));
    answer = (request, response) => {
      if (request.headers.range === undefined) answerWithRanges(request, response);
      else response.writeHead(416).end();
    };
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual(['bytes=1000-', '']);
  });

  it('begins anew where the part that lies there is longer than the archive', async () => {
    await writeFile(partialPath, Buffer.alloc(archive.bytes + 1));
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual(['']);
  });

  it('needs no request where the part that lies there is whole', async () => {
    await writeFile(partialPath, archiveBytes);
    await downloadCifar10(folder, { archive });
    await expectWholeSet();
    expect(ranges).toEqual([]);
  });

  it('may come from another address', async () => {
    const elsewhere = { ...archive, url: 'http://127.0.0.1:9/nothing-listens-here' };
    expect(await downloadCifar10(folder, { archive: elsewhere, url: archive.url })).toBe('downloaded');
    await expectWholeSet();
  });

  it('that is interrupted keeps what has arrived', async () => {
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

describe('a download that fails', () => {
  const faults: { title: string; partialBytes?: number; answer: typeof answer; says: string }[] = [
    { title: 'a 404', answer: (_, response) => response.writeHead(404).end(), says: 'answered 404 Not Found' },
    {
      title: 'a connection that dies at once',
      answer: (request) => request.socket.destroy(),
      says: 'could not be fetched: fetch failed (',
    },
    {
      title: 'another size than it had',
      answer: (_, response) => response.writeHead(200, { 'content-length': 5 }).end('12345'),
      says: 'is 5 bytes now instead of',
    },
    {
      title: 'another size than it had, seen when going on',
      partialBytes: 10,
      answer: (_, response) => response.writeHead(206, { 'content-range': 'bytes 10-11/12' }).end('ab'),
      says: 'is 12 bytes now instead of',
    },
    {
      title: 'another part than was asked for',
      partialBytes: 10,
      answer: (_, response) =>
        response.writeHead(206, { 'content-range': `bytes 0-1/${archive.bytes}` }).end(archiveBytes.subarray(0, 2)),
      says: 'sent another part than was asked for: bytes 0-1/',
    },
    {
      title: 'more than the archive has',
      answer: (_, response) => response.writeHead(200).end(Buffer.alloc(archive.bytes + 1)),
      says: 'sent more than the',
    },
  ];

  it.each(faults.map((fault) => [fault.title, fault] as const))(
    'by %s names the address and what to do',
    async (_, fault) => {
      if (fault.partialBytes !== undefined) await writeFile(partialPath, archiveBytes.subarray(0, fault.partialBytes));
      answer = fault.answer;
      const error = await failureOf(downloadCifar10(folder, { archive }));
      expect(error.code).toBe('download-failed');
      expect(error.message).toContain(archive.url);
      expect(error.message).toContain(fault.says);
      expect(error.message).toContain(`put it at ${archivePath}`);
      expect(existsSync(path.join(folder, 'batches.meta.txt'))).toBe(false);
    },
  );

  it('by a wrong MD5 removes the file, so that the next try begins anew', async () => {
    const damaged = Buffer.from(archiveBytes);
    damaged[100] ^= 1;
    answer = (_request, response) => response.writeHead(200).end(damaged);
    const error = await failureOf(downloadCifar10(folder, { archive }));
    expect(error.code).toBe('download-failed');
    expect(error.message).toContain(`instead of ${archive.md5}`);
    expect(await readdir(folder)).toEqual([]);
  });

  it('by a server that dies on every connection ends with the part kept', async () => {
    const dying = dyingServer(10);
    answer = dying.answer;
    const error = await failureOf(downloadCifar10(folder, { archive, onProgress: dying.onProgress }));
    expect(error.code).toBe('download-failed');
    expect(error.message).toContain('broke off after');
    expect(existsSync(partialPath)).toBe(true);
  });

  it('by a folder that cannot be made says so', async () => {
    await writeFile(path.join(folder, 'file'), '');
    const error = await failureOf(downloadCifar10(path.join(folder, 'file', 'data'), { archive }));
    expect(error.code).toBe('download-failed');
    expect(error.message).toContain(path.join(folder, 'file', 'data'));
  });
});

describe('an archive that a person has put there', () => {
  it('is unpacked without a request and stays', async () => {
    await writeFile(archivePath, archiveBytes);
    expect(await downloadCifar10(folder, { archive })).toBe('unpacked');
    await expectWholeSet();
    expect(ranges).toEqual([]);
    expect(existsSync(archivePath)).toBe(true);
  });

  it('is refused and kept where its size or MD5 is wrong', async () => {
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

describe('a folder that holds images', () => {
  it('of the same set is left alone, without a request', async () => {
    await writeCifar10(folder, dataset);
    expect(await downloadCifar10(folder, { archive })).toBe('already there');
    expect(ranges).toEqual([]);
  });

  it('of another set is left alone with an error, and replaced when told', async () => {
    const drawn = synthesizeDataset({ trainingImages: 5, testImages: 1 });
    await writeCifar10(folder, drawn);
    const error = await failureOf(downloadCifar10(folder, { archive }));
    expect(error.code).toBe('bad-data');
    expect(error.message).toContain('5 training and 1 test images of striped disc');
    expect(error.message).toContain('--force');
    expect(Buffer.compare((await loadCifar10(folder)).training, drawn.training)).toBe(0);

    await downloadCifar10(folder, { archive, overwrite: true });
    await expectWholeSet();
  });

  it('of a broken set is mended without being told', async () => {
    await writeCifar10(folder, dataset);
    await rm(path.join(folder, 'data_batch_2.bin'));
    await mkdir(path.join(folder, 'something-else'));
    expect(await downloadCifar10(folder, { archive })).toBe('downloaded');
    await expectWholeSet();
    expect(existsSync(path.join(folder, 'something-else'))).toBe(true);
  });
});
