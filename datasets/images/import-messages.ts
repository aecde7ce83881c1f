// Messages between an import and the processes that decode images.
import type { Chunk, ChunkTask } from './chunk.js';

/** Asks a process to decode a chunk. */
export type ImportRequest = { type: 'decode'; task: ChunkTask };

export type ImportReply =
  /** I have loaded the decoder, which has these versions. */
  | { type: 'ready'; decoder: string }
  /** I have decoded or skipped the first `done` files of the chunk. */
  | { type: 'progress'; done: number }
  /** The chunk is complete, and its files are written. */
  | { type: 'complete'; chunk: Chunk }
  /** I cannot write the chunk. */
  | { type: 'failed'; message: string };
