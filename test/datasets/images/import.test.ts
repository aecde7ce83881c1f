// Which files of a folder are imported, when, and what is reported.
import { cp, mkdir, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { importImageFolder } from '../../../datasets/images/import-folder.js';
import { readManifest, type Manifest } from '../../../datasets/packed/manifest.js';
import { readDataset } from '../../../datasets/read-dataset.js';
import type { ReadOptions } from '../../../datasets/read-options.js';
import type { Dataset } from '../../../shared/dataset/description.js';
import { noiseImage, plainImage, writeImages } from '../../support/image-files.js';
import { processesNamed, canListProcesses } from '../../support/processes-named.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const imageSize = 4;
const recordBytes = 1 + 3 * imageSize * imageSize;

let root = '';
let photos = '';
let cacheDirectory = '';
beforeEach(async () => {
  root = await temporaryFolder();
  photos = path.join(root, 'photos');
  cacheDirectory = path.join(root, 'cache');
});

/** Reads the image folder. `imported` is the number of images that were decoded. */
async function read(
  options: ReadOptions = {},
): Promise<{ dataset: Dataset; warnings: string[]; imported: number; manifest: Manifest }> {
  const warnings: string[] = [];
  let imported = 0;
  const dataset = await readDataset(photos, {
    imageSize,
    cacheDirectory,
    processes: 1,
    onProgress: (done) => (imported = done),
    onWarning: (text) => warnings.push(text),
    ...options,
  });
  const [folder] = /(?<=packed in ).*(?=\)$)/.exec(dataset.source)!;
  return { dataset, warnings, imported, manifest: (await readManifest(folder))! };
}

const labelsOf = (records: Uint8Array | null) =>
  records && Array.from({ length: records.length / recordBytes }, (_, index) => records[index * recordBytes]);

describe('an image folder with one folder per class', () => {
  it('has its classes in sorted order, and no validation or test split', async () => {
    await writeImages(photos, {
      'dogs/1.png': noiseImage(7, 9, 1),
      'cats/2.jpg': noiseImage(20, 9, 2),
      'cats/more/1.png': noiseImage(5, 5, 3),
      'Birds/1.webp': noiseImage(4, 4, 4),
    });
    const { dataset, warnings } = await read();
    expect(dataset.description).toEqual({
      name: 'photos',
      height: 4,
      width: 4,
      channels: 3,
      classNames: ['Birds', 'cats', 'dogs'],
      fit: 'crop',
    });
    expect(labelsOf(dataset.training)).toEqual([0, 1, 1, 2]);
    expect([dataset.validation, dataset.test]).toEqual([null, null]);
    expect(warnings).toEqual([]);
  });

  it('has the default size of 64×64 pixels', async () => {
    await writeImages(photos, { 'a/1.png': noiseImage(7, 9, 1), 'b/1.png': noiseImage(7, 9, 2) });
    const { dataset } = await read({ imageSize: undefined });
    expect(dataset.description).toMatchObject({ height: 64, width: 64 });
  });

  it('records no fit if all images have the size of the dataset', async () => {
    await writeImages(photos, { 'a/1.png': noiseImage(4, 4, 1), 'b/1.png': noiseImage(4, 4, 2) });
    expect((await read({ fit: 'squeeze' })).dataset.description.fit).toBeNull();
  });

  it('has labels of two bytes if there are more than 256 classes', async () => {
    const png = await plainImage(1, 1, 'red').png().toBuffer();
    const names = Array.from({ length: 257 }, (_, label) => `${String(label).padStart(3, '0')}/1.png`);
    await writeImages(photos, Object.fromEntries(names.map((name) => [name, png])));
    const { dataset } = await read({ imageSize: 1 });
    expect([...dataset.training.subarray(256 * 5)]).toEqual([0, 1, 255, 0, 0]);
  });

  it('names files that cannot be read, and empty classes, and imports the rest', async () => {
    const jpeg = await noiseImage(40, 40, 1).jpeg().toBuffer();
    await writeImages(photos, {
      'a/1.png': noiseImage(7, 9, 1),
      'a/broken.png': 'not an image',
      'a/drawing.svg': '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
      'a/empty.jpg': '',
      'a/truncated.jpg': jpeg.subarray(0, jpeg.length / 2),
      'a/.hidden': 'not an image',
      'b/1.jpg': jpeg,
      'none/': null,
      'notes.txt': 'about the photos',
      'only broken/1.png': 'not an image',
    });
    await symlink('nowhere', path.join(photos, 'b/link.png'));
    const { dataset, warnings, manifest } = await read();
    expect(labelsOf(dataset.training)).toEqual([0, 1]);
    expect(manifest.import?.skipped).toEqual([
      { file: 'a/broken.png', reason: 'not an image in a supported format' },
      { file: 'a/drawing.svg', reason: 'not an image in a supported format' },
      { file: 'a/empty.jpg', reason: 'not an image in a supported format' },
      { file: 'a/truncated.jpg', reason: expect.stringContaining('premature end') },
      { file: 'b/link.png', reason: 'cannot be read (ENOENT)' },
      { file: 'only broken/1.png', reason: 'not an image in a supported format' },
    ]);
    expect(dataset.description.classNames).toEqual(['a', 'b', 'none', 'only broken']);
    expect(warnings).toEqual([
      expect.stringMatching(/^skipped 6 files that cannot be read as images: a\/broken\.png \(not an image/),
      '2 classes of 4 without training images, which cannot be learned: none; only broken',
      'ignored 1 file or folder outside the class folders: notes.txt',
    ]);
  });

  it('is refused if no image can be read', async () => {
    await writeImages(photos, { 'a/1.png': 'not an image', 'b/1.png': 'not an image' });
    await expect(read()).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('can be read: a/1.png (not an image in a supported format); b/1.png'),
    });
  });

  it('is refused if it has only one class', async () => {
    await writeImages(photos, { 'a/1.png': noiseImage(7, 9, 1) });
    await expect(read()).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('has one folder (a): it must have from 2 to 65535'),
    });
  });

  it.each([0, 225, 1.5])('is refused with the image size %s', async (size) => {
    await writeImages(photos, { 'a/1.png': noiseImage(7, 9, 1) });
    await expect(read({ imageSize: size })).rejects.toMatchObject({
      code: 'bad-option',
      message: `\`imageSize\` is ${size}: it must be a whole number from 1 to 224`,
    });
  });
});

describe('an image folder with splits', () => {
  it.each(['val', 'validation'])('has training, validation (%s) and test images', async (validation) => {
    await writeImages(photos, {
      'train/a/1.png': noiseImage(7, 9, 1),
      'train/b/1.png': noiseImage(7, 9, 2),
      [`${validation}/b/1.png`]: noiseImage(7, 9, 3),
      'test/a/1.png': noiseImage(7, 9, 4),
      'test/b/1.png': noiseImage(7, 9, 5),
      'annotations/1.txt': 'not a class',
      'test/loose.png': noiseImage(7, 9, 6),
    });
    const { dataset, warnings } = await read();
    expect(dataset.description.classNames).toEqual(['a', 'b']);
    expect([dataset.training, dataset.validation, dataset.test].map(labelsOf)).toEqual([[0, 1], [1], [0, 1]]);
    expect(warnings).toEqual(['ignored 2 files or folders outside the class folders: annotations; test/loose.png']);
  });

  it('has no test split if none of its test images can be read', async () => {
    await writeImages(photos, {
      'train/a/1.png': noiseImage(7, 9, 1),
      'train/b/1.png': noiseImage(7, 9, 2),
      'test/a/1.png': 'not an image',
    });
    expect((await read()).dataset.test).toBeNull();
  });

  it('is refused if a split has a class that training does not have', async () => {
    await writeImages(photos, {
      'train/a/1.png': noiseImage(7, 9, 1),
      'train/b/1.png': noiseImage(7, 9, 2),
      'test/c/1.png': noiseImage(7, 9, 3),
    });
    await expect(read()).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(/test\/c is a class without a folder of training images: add .*train\/c/),
    });
  });

  it('is refused without training images', async () => {
    await writeImages(photos, { 'test/a/1.png': noiseImage(7, 9, 1), 'val/a/1.png': noiseImage(7, 9, 2) });
    await expect(read()).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('has test and val but no train'),
    });
  });

  it('may have a class named train', async () => {
    await writeImages(photos, { 'train/1.png': noiseImage(7, 9, 1), 'bus/1.png': noiseImage(7, 9, 2) });
    expect((await read()).dataset.description.classNames).toEqual(['bus', 'train']);
  });

  it('ignores files next to the classes of a split', async () => {
    await writeImages(photos, {
      'train/a/1.png': noiseImage(7, 9, 1),
      'train/b/1.png': noiseImage(7, 9, 2),
      'test/a/1.png': noiseImage(7, 9, 3),
      'train/labels.csv': Buffer.from('1.png,a\n'),
    });
    const { dataset, warnings } = await read();
    expect(dataset.description.classNames).toEqual(['a', 'b']);
    expect(labelsOf(dataset.test)).toEqual([0]);
    expect(warnings).toEqual(['ignored 1 file or folder outside the class folders: train/labels.csv']);
  });

  it('warns about images that are in more than one split', async () => {
    await writeImages(photos, {
      'train/a/1.png': noiseImage(7, 9, 1),
      'train/a/again.png': noiseImage(7, 9, 1),
      'train/b/1.png': noiseImage(7, 9, 2),
      'test/b/copy.png': noiseImage(7, 9, 2),
    });
    const { warnings, manifest } = await read();
    expect(manifest.import?.duplicates).toEqual({ images: 1, examples: [['train/b/1.png', 'test/b/copy.png']] });
    expect(warnings).toEqual([
      expect.stringMatching(
        /^1 validation or test image also in another split.*: test\/b\/copy\.png equals train\/b\/1\.png$/,
      ),
    ]);
  });
});

describe('an imported folder', () => {
  beforeEach(async () => {
    await writeImages(photos, {
      'a/1.png': noiseImage(7, 9, 1),
      'a/2.png': 'not an image',
      'b/1.png': noiseImage(7, 9, 2),
    });
  });

  it('is not decoded again while its files and the options stay the same, and repeats its warnings', async () => {
    const first = await read();
    expect(first.imported).toBe(3);
    const second = await read();
    expect(second.imported).toBe(0);
    expect(second.dataset).toEqual(first.dataset);
    expect(second.warnings).toEqual(first.warnings);
  });

  it('does not change', async () => {
    const before = await readdir(photos, { recursive: true });
    await read();
    expect(await readdir(photos, { recursive: true })).toEqual(before);
  });

  const changes: [name: string, change: () => Promise<void>, labels: number[]][] = [
    ['a new file', async () => writeImages(photos, { 'b/2.png': noiseImage(7, 9, 3) }), [0, 1, 1]],
    ['a repaired file', async () => writeImages(photos, { 'a/2.png': noiseImage(7, 9, 3) }), [0, 0, 1]],
    ['a removed file', async () => rm(path.join(photos, 'a/2.png')), [0, 1]],
    ['a new class', async () => writeImages(photos, { 'c/1.png': noiseImage(7, 9, 3) }), [0, 1, 2]],
    ['a later time of modification', async () => utimes(path.join(photos, 'a/1.png'), 1e9, 1e9), [0, 1]],
  ];
  it.each(changes)('is imported again after %s', async (_, change, labels) => {
    await read();
    await change();
    const { dataset, imported } = await read();
    expect(imported).toBeGreaterThan(0);
    expect(labelsOf(dataset.training)).toEqual(labels);
    expect((await read()).imported).toBe(0);
  });

  it('is imported separately for other options', async () => {
    const [crop, squeeze, large] = [await read(), await read({ fit: 'squeeze' }), await read({ imageSize: 5 })];
    expect(new Set([crop, squeeze, large].map(({ dataset }) => dataset.source)).size).toBe(3);
    expect((await read()).imported).toBe(0);
  });

  it('is imported again if the packed file is damaged', async () => {
    const { dataset } = await read();
    const [folder] = /(?<=packed in ).*(?=\)$)/.exec(dataset.source)!;
    await truncate(path.join(folder, 'training.bin'), 10);
    const again = await read();
    expect(again.dataset).toEqual(dataset);
    expect(again.warnings[0]).toMatch(/training\.bin is damaged: it has 10 bytes, expected 98\. Importing again\./);
  });

  it('is not imported again under another name', async () => {
    await read();
    await symlink(photos, path.join(root, 'link'));
    photos = path.join(root, 'link');
    expect((await read()).imported).toBe(0);
  });

  it('cannot contain the packed dataset', async () => {
    await expect(importImageFolder(photos, path.join(photos, 'packed'))).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('is inside the image folder'),
    });
  });

  it('is refused while another process imports it, and not after that process has ended', async () => {
    const target = path.join(root, 'packed');
    await mkdir(target);
    const lock = path.join(target, '.lock');
    await writeFile(lock, JSON.stringify({ pid: process.ppid, host: hostname() }));
    await expect(importImageFolder(photos, target, { imageSize })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining(`process ${process.ppid} on ${hostname()} is importing`),
    });
    // No process has this ID: it is above the highest one that Linux allows.
    await writeFile(lock, JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() }));
    await importImageFolder(photos, target, { imageSize });
    expect(await readdir(target)).toEqual(['manifest.json', 'training.bin']);
  });
});

describe('the import of many images', () => {
  /** More than three chunks of 128 files. */
  const count = 400;
  beforeEach(async () => {
    const images = await Promise.all(
      Array.from({ length: count }, async (_, index) => [
        `${index % 2 === 0 ? 'a' : 'b'}/${index}.png`,
        await noiseImage(5 + (index % 3), 6, index)
          .png()
          .toBuffer(),
      ]),
    );
    await writeImages(photos, { ...Object.fromEntries(images), 'a/broken.png': 'not an image' });
  });

  it('has the same bytes with any number of processes', async () => {
    const hashes: (string | undefined)[] = [];
    for (const processes of [1, 2, 5]) {
      const { manifest } = await importImageFolder(photos, path.join(root, String(processes)), {
        imageSize,
        processes,
      });
      hashes.push(manifest.splits.training.sha256);
    }
    expect(new Set(hashes).size).toBe(1);
  });

  it('resumes after an interruption, with the same result', async () => {
    const target = path.join(root, 'packed');
    const abort = new AbortController();
    const interrupted = importImageFolder(photos, target, {
      imageSize,
      processes: 1,
      signal: abort.signal,
      onProgress: (done) => {
        if (done === 300) abort.abort();
      },
    });
    await expect(interrupted).rejects.toMatchObject({
      code: 'interrupted',
      message: expect.stringMatching(/interrupted after 300 of 401 images: run the command again to resume/),
    });
    expect(await readManifest(target)).toBeUndefined();
    // The first two chunks are complete. One of them is damaged, and decoded again.
    await truncate(path.join(target, '.partial/training-00001.bin'), 5);
    const seen: number[] = [];
    const { manifest } = await importImageFolder(photos, target, {
      imageSize,
      processes: 1,
      onProgress: (done) => seen.push(done),
    });
    expect(seen.slice(0, 2)).toEqual([128, 129]);
    expect(await readdir(target)).toEqual(['manifest.json', 'training.bin']);
    const whole = await importImageFolder(photos, path.join(root, 'whole'), { imageSize });
    expect(manifest).toEqual(whole.manifest);
    expect(await readFile(path.join(target, 'training.bin'))).toEqual(
      await readFile(path.join(root, 'whole/training.bin')),
    );
  });

  it('does not use what an interrupted import has left of files that have changed since', async () => {
    const target = path.join(root, 'packed');
    const abort = new AbortController();
    const onProgress = (done: number) => {
      if (done === 300) abort.abort();
    };
    const options = { imageSize, processes: 1 };
    await importImageFolder(photos, target, { ...options, signal: abort.signal, onProgress }).catch(() => undefined);
    await writeImages(photos, { 'a/0.png': noiseImage(9, 9, 12_345) });
    const { manifest } = await importImageFolder(photos, target, options);
    const whole = await importImageFolder(photos, path.join(root, 'whole'), options);
    expect(manifest.splits).toEqual(whole.manifest.splits);
  });

  it.runIf(canListProcesses)('skips a file that crashes the decoder, and names it', async () => {
    await rm(photos, { recursive: true });
    // Images that take long enough to decode that the process can be ended meanwhile.
    const large = await noiseImage(2000, 2000, 1).png().toBuffer();
    await writeImages(photos, { 'a/1.png': noiseImage(5, 5, 1), 'b/1.png': large });
    for (let copy = 2; copy < 12; copy++) await cp(path.join(photos, 'b/1.png'), path.join(photos, `b/${copy}.png`));
    let isKilled = false;
    const crash = async () => {
      if (isKilled) return;
      isKilled = true;
      for (const pid of await processesNamed('import-process.js')) {
        const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
        // Other test files import at the same time.
        if (status.includes(`PPid:\t${process.pid}\n`)) process.kill(pid, 'SIGSEGV');
      }
    };
    const { manifest } = await importImageFolder(photos, path.join(root, 'packed'), {
      imageSize,
      processes: 1,
      onProgress: (done) => void (done > 1 && crash()),
    });
    expect(manifest.import?.skipped).toEqual([
      { file: expect.stringMatching(/^b\/\d+\.png$/), reason: 'crashes the decoder (SIGSEGV)' },
    ]);
    expect(manifest.splits.training.records).toBe(11);
  });
});
