// Passes and their tiles. The tiles of a pass are independent of one another, so threads can share them; the next pass
// begins when all tiles are done. The tiles, and therefore the bits of the results, depend on the network and the number
// of images, but not on the number of threads.
import { imagesPerBlock, type Tensor, type ThreadMemory } from '../memory/tensor.js';

/** Part of the fingerprint. Increment it when the tiles or the order of additions change, because this changes bits. */
export const passesVersion = 1;

/**
 * Maximum number of tiles in a pass over images. Threads share the tiles, so any threads beyond this number are idle in
 * these passes.
 */
export const maxTiles = 8;
/** Minimum number of pixels in a tile. In smaller tiles, writing the sums would take longer than computing them. */
const minTilePixels = 512;

export type Phase =
  | 'weights'
  | 'images'
  | 'convolution'
  | 'batch norm'
  | 'shortcut'
  | 'dense'
  | 'other layers'
  | 'head'
  | 'input gradient'
  | 'filter gradient'
  | 'batch norm gradient'
  | 'other gradients';

/** A kind of work, for profiling. */
export interface Work {
  phase: Phase;
  /** Layers that the work belongs to: the part of a node's name before the first slash, or `all`. */
  group: string;
}

export interface Pass {
  /** Returns the number of tiles for this number of images. */
  tileCount(imageCount: number): number;
  /**
   * Computes one tile.
   * @param memory private memory of the calling thread
   * @param onStage called after each stage
   */
  run(tile: number, imageCount: number, memory: ThreadMemory, onStage?: (work: Work) => void): void;
}

/** A few consecutive images of a tile. */
export interface ImageBlock {
  first: number;
  count: number;
  /** Index of the tile that contains the block. The sums of the block are added to the tile's partial sums. */
  tile: number;
  /** False for the first block of a tile, whose sums overwrite the tile's partial sums; true for the other blocks. */
  continues: boolean;
}

/** One of the computations that a pass applies to each block. */
export interface Stage extends Work {
  /** Tensors that the stage reads or writes. */
  tensors: readonly Tensor[];
  run(block: ImageBlock, memory: ThreadMemory): void;
}

/** Splits images into at most maxTiles tiles of equal size (the last may be smaller), and each tile into blocks. */
export class Tiling {
  readonly #pixels: number;
  #imageCount = 0;
  #tiles: ImageBlock[][] = [];

  /** @param pixels number of pixels of an image */
  constructor(pixels: number) {
    this.#pixels = pixels;
  }

  tilesOf(imageCount: number): readonly ImageBlock[][] {
    if (imageCount !== this.#imageCount) {
      this.#imageCount = imageCount;
      this.#tiles = splitImages(imageCount, this.#pixels);
    }
    return this.#tiles;
  }
}

function splitImages(count: number, pixels: number): ImageBlock[][] {
  const imagesPerTile = Math.max(Math.ceil(count / maxTiles), Math.ceil(minTilePixels / pixels));
  let next = 0;
  return chunkSizes(count, imagesPerTile).map((tileCount, tile) =>
    chunkSizes(tileCount, imagesPerBlock(pixels)).map((blockCount, index) => {
      const first = next;
      next += blockCount;
      return { first, count: blockCount, tile, continues: index > 0 };
    }),
  );
}

function chunkSizes(total: number, size: number): number[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, index) => Math.min(size, total - index * size));
}
