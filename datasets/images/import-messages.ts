// Messages between an import, or a reader of single images, and the processes that decode images.
import type { ImageFit } from '../../shared/dataset/description.js';
import type { Chunk, ChunkTask } from './chunk.js';

export interface ImageSize {
  height: number;
  width: number;
}

export interface DecodedImage {
  /** The red, green and blue planes, row by row, in the requested size. */
  planes: Uint8Array;
  /** Size of the upright image in the file. */
  original: ImageSize;
}

export type ImportRequest =
  /** Decode a chunk and write its files. */
  | { type: 'decode'; task: ChunkTask }
  /** Decode one image and send me its pixels. */
  | { type: 'read'; file: string; size: ImageSize; fit: ImageFit };

export type ImportReply =
  /** I have loaded the decoder, which has these versions. */
  | { type: 'ready'; decoder: string }
  /** I have decoded or skipped the first `done` files of the chunk. */
  | { type: 'progress'; done: number }
  /** The chunk is complete, and its files are written. */
  | { type: 'complete'; chunk: Chunk }
  /** Here is the image that you asked for. */
  | { type: 'image'; image: DecodedImage }
  /** I cannot decode the image that you asked for. */
  | { type: 'unreadable'; reason: string }
  /** I cannot write the chunk. */
  | { type: 'failed'; message: string };
