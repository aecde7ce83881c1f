// Program of a process that decodes images. It ends when the channel to its parent closes. A file that crashes the
// decoder, a native library, ends only this process.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import { sha256Of } from '../../shared/sha256.js';
import { fingerprintOf, pixelDigest, writeChunk, type ChunkTask, type FileResult } from './chunk.js';
import { decodeImage, decoder } from './decode-image.js';
import type { ImportReply, ImportRequest } from './import-messages.js';

/** Maximum size of an image file. Each process has one file in memory. */
const maxFileBytes = 512_000_000;

let isConnected = true;
process.on('disconnect', () => (isConnected = false));
process.on('message', (request: ImportRequest) => void answer(request));
send({ type: 'ready', decoder });

function send(reply: ImportReply): void {
  if (isConnected) process.send!(reply);
}

async function answer(request: ImportRequest): Promise<void> {
  if (request.type === 'read') return send(await readImage(request));
  try {
    await decodeChunk(request.task);
  } catch (error) {
    send({ type: 'failed', message: messageOf(error) });
  }
}

async function readImage({ file, size, fit }: ImportRequest & { type: 'read' }): Promise<ImportReply> {
  try {
    assertFileSize((await stat(file)).size);
    return { type: 'image', image: await decodeImage(await readFile(file), size, fit) };
  } catch (error) {
    return { type: 'unreadable', reason: reasonOf(error) };
  }
}

function assertFileSize(bytes: number): void {
  if (bytes > maxFileBytes) throw new Error(`is larger than ${maxFileBytes / 1e6} MB`);
}

async function decodeChunk(task: ChunkTask): Promise<void> {
  const { files, format, target, crashed } = task;
  const { imageSize, fit, labelBytes } = format;
  const recordBytes = labelBytes + 3 * imageSize ** 2;
  const records = new Uint8Array(files.length * recordBytes);
  const results: FileResult[] = [];
  let filled = 0;
  let resized = 0;
  for (const [index, { path: name, label, size }] of files.entries()) {
    if (!isConnected) return;
    try {
      if (crashed[index] !== undefined) throw new Error(crashed[index]);
      assertFileSize(size);
      const bytes = await readFile(path.join(task.folder, name));
      const { planes, original } = await decodeImage(bytes, { height: imageSize, width: imageSize }, fit);
      records[filled] = label & 0xff;
      if (labelBytes === 2) records[filled + 1] = label >> 8;
      records.set(planes, filled + labelBytes);
      filled += recordBytes;
      resized += original.height === imageSize && original.width === imageSize ? 0 : 1;
      results.push({ pixels: pixelDigest(planes) });
    } catch (error) {
      results.push({ skipped: reasonOf(error) });
    }
    send({ type: 'progress', done: index + 1 });
  }
  const written = records.subarray(0, filled);
  const chunk = { fingerprint: fingerprintOf(task, decoder), sha256: sha256Of(written), results, resized };
  await writeChunk(target, written, chunk);
  send({ type: 'complete', chunk });
}

/** Returns why an image cannot be decoded, in one line. */
function reasonOf(error: unknown): string {
  const code = systemCodeOf(error);
  if (code !== undefined) return `cannot be read (${code})`;
  const [firstLine] = messageOf(error).trim().split('\n');
  if (/unsupported image format|Buffer is empty/.test(firstLine)) return 'not an image in a supported format';
  return firstLine;
}
