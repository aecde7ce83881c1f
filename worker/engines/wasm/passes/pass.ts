// Passes and their tiles. The tiles of a pass are independent of one another, so threads can share them; the next pass
// begins when all tiles are done. The tiles, and therefore the bits of the results, depend on the model and the number
// of images, but not on the number of threads.
import type { Kernels } from '../kernels.js';
import { maxTiles, type FixedPlan } from '../memory/fixed-plan.js';
import type { TensorPlan } from '../memory/tensor-plan.js';
import { imagesPerBlock, type ThreadMemory } from '../memory/tensor.js';

/** Part of the fingerprint. Increment it when the tiles or the order of additions change, because this changes bits. */
export const passesVersion = 1;

/** Minimum number of pixels in a tile. In smaller tiles, writing the sums would take longer than computing them. */
const minTilePixels = 512;

export type Phase =
  | 'weights'
  | 'images'
  | 'convolution'
  | 'batch norm'
  | 'shortcut'
  | 'head'
  | 'input gradient'
  | 'filter gradient'
  | 'batch norm gradient';

export type LayerGroup = 'stem' | 'group 1' | 'group 2' | 'group 3' | 'head' | 'all';

/** A kind of work, for profiling. */
export interface Work {
  phase: Phase;
  group: LayerGroup;
}

export interface Pass {
  tiles: number;
  /**
   * Computes one tile.
   * @param memory private memory of the calling thread
   * @param onStage called after each stage
   */
  run(tile: number, memory: ThreadMemory, onStage?: (work: Work) => void): void;
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
  run(block: ImageBlock, memory: ThreadMemory): void;
}

/** Settings that the passes of a model depend on. */
export interface PassOptions {
  /** Fraction of each label that training spreads evenly over all classes. */
  labelSmoothing: number;
  /** Whether preprocessing subtracts a separate mean for each pixel. */
  hasPixelMeans: boolean;
}

/** Data shared by all passes for one combination of job kind and number of images. */
export interface StepContext extends PassOptions {
  kernels: Kernels;
  fixed: FixedPlan;
  tensors: TensorPlan;
  imageCount: number;
  mode: 'train' | 'evaluate';
}

/** The passes of a training step or an evaluation, in order. */
export class PassList {
  readonly passes: Pass[] = [];
  readonly #imageCount: number;
  #imageTiles = 0;

  constructor(imageCount: number) {
    this.#imageCount = imageCount;
  }

  /** Number of tiles in the latest pass over images, which is also its number of partial sums. */
  get imageTiles(): number {
    return this.#imageTiles;
  }

  /**
   * Adds a pass over the images that applies all stages to a block before it continues with the next block.
   * @param size height and width of the tensors
   */
  addOverImages(size: number, stages: readonly Stage[]): void {
    const tiles = splitImages(this.#imageCount, size);
    this.#imageTiles = tiles.length;
    this.passes.push({
      tiles: tiles.length,
      run: (tile, memory, onStage) => {
        for (const block of tiles[tile]) {
          for (const stage of stages) {
            stage.run(block, memory);
            onStage?.(stage);
          }
        }
      },
    });
  }

  /** Adds a pass whose tiles do not consist of images. */
  add(work: Work, tiles: number, run: (tile: number, memory: ThreadMemory) => void): void {
    this.passes.push({
      tiles,
      run: (tile, memory, onStage) => {
        run(tile, memory);
        onStage?.(work);
      },
    });
  }
}

/** Splits the images into at most maxTiles tiles of equal size (the last may be smaller), and each tile into blocks. */
function splitImages(count: number, size: number): ImageBlock[][] {
  const imagesPerTile = Math.max(Math.ceil(count / maxTiles), Math.ceil(minTilePixels / size ** 2));
  let next = 0;
  return chunkSizes(count, imagesPerTile).map((tileCount, tile) =>
    chunkSizes(tileCount, imagesPerBlock(size)).map((blockCount, index) => {
      const first = next;
      next += blockCount;
      return { first, count: blockCount, tile, continues: index > 0 };
    }),
  );
}

function chunkSizes(total: number, size: number): number[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, index) => Math.min(size, total - index * size));
}
