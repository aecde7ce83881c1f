// Decodes the chunks of an import in several processes, and skips those that an interrupted import has completed.
import { availableParallelism } from 'node:os';
import { LockstepError } from '../../shared/errors.js';
import { findChunk, fingerprintOf, type Chunk, type ChunkTask } from './chunk.js';
import { DecoderCrash, DecodingProcess } from './decoding-process.js';

export interface DecodeOptions {
  processes: number | undefined;
  onProgress: ((done: number, total: number) => void) | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Returns the summaries of the chunks in order, and the versions of the decoder. Throws `interrupted` if the import is
 * aborted; complete chunks are then kept.
 */
export async function decodeChunks(
  tasks: readonly ChunkTask[],
  { processes, onProgress, signal }: DecodeOptions,
): Promise<{ chunks: Chunk[]; decoder: string }> {
  const total = sum(tasks.map(({ files }) => files.length));
  const doneOfChunk = tasks.map(() => 0);
  let doneInTotal = 0;
  const report = (index: number, done: number) => {
    doneInTotal += done - doneOfChunk[index];
    doneOfChunk[index] = done;
    onProgress?.(doneInTotal, total);
  };
  const chunks: Chunk[] = [];
  const running = new Set<DecodingProcess>();
  const start = () => {
    const process = new DecodingProcess();
    running.add(process);
    return process;
  };
  let isStopped = false;
  const first = start();
  const queue = tasks.entries();

  /** Decodes one chunk after another. @returns when no chunks are left */
  async function decodeInOneProcess(process: DecodingProcess): Promise<void> {
    for (const [index, task] of queue) {
      if (isStopped) return;
      const found = await findChunk(task.target, fingerprintOf(task, await first.ready));
      if (found === undefined) {
        const outcome = await decodeDespiteCrashes(process, task, (done) => report(index, done), start);
        ({ process } = outcome);
        chunks[index] = outcome.chunk;
      } else chunks[index] = found;
      report(index, task.files.length);
    }
  }

  let stop = () => undefined as void;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(interrupted(doneInTotal, total));
  });
  aborted.catch(() => undefined);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();
  try {
    const count = Math.max(1, Math.min(processes ?? availableParallelism(), tasks.length));
    const all = [first, ...Array.from({ length: count - 1 }, start)];
    await Promise.race([aborted, Promise.all(all.map(decodeInOneProcess))]);
    return { chunks, decoder: await first.ready };
  } finally {
    isStopped = true;
    signal?.removeEventListener('abort', stop);
    for (const process of running) process.kill();
  }
}

/**
 * Decodes a chunk. If a file crashes the decoder, continues without this file in a new process.
 * @returns the chunk, and the process to continue with
 */
async function decodeDespiteCrashes(
  process: DecodingProcess,
  task: ChunkTask,
  onProgress: (done: number) => void,
  start: () => DecodingProcess,
): Promise<{ chunk: Chunk; process: DecodingProcess }> {
  const crashed = { ...task.crashed };
  for (;;) {
    try {
      return { chunk: await process.decode({ ...task, crashed }, onProgress), process };
    } catch (error) {
      if (!(error instanceof DecoderCrash)) throw error;
      crashed[error.file] = error.message;
      process = start();
    }
  }
}

function interrupted(done: number, total: number): LockstepError {
  return new LockstepError(
    'interrupted',
    `the import was interrupted after ${done} of ${total} images: run the command again to resume`,
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
