// Passes and their tiles. The tiles of a pass are independent of each other, so threads can share them; the next pass
// begins when all are done. The tiles, and with them the bits, depend on the model and the number of images, but not on
// the number of threads.
import type { Kernels } from '../kernels.js';
import { maxTiles, type FixedPlan } from '../memory/fixed-plan.js';
import type { TensorPlan } from '../memory/tensor-plan.js';
import { imagesPerBlock, type ThreadMemory } from '../memory/tensor.js';

/** Part of the fingerprint. Increment it when the tiles or the order of additions change, which determine the bits. */
export const passesVersion = 1;

/** Pixels of a tile, at least. The sums of a smaller one take longer to write than to compute. */
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

/** Kind of work, for profiles. */
export interface Work {
  phase: Phase;
  group: LayerGroup;
}

export interface Pass {
  tiles: number;
  /**
   * @param memory memory of the calling thread
   * @param onStage called after each stage
   */
  run(tile: number, memory: ThreadMemory, onStage?: (work: Work) => void): void;
}

/** A few consecutive images of a tile. */
export interface ImageBlock {
  first: number;
  count: number;
  /** Index of the tile, to whose partial sums this block's are added. */
  tile: number;
  /** Whether this is not the first block of its tile. */
  continues: boolean;
}

/** What a pass does with each block. */
export interface Stage extends Work {
  run(block: ImageBlock, memory: ThreadMemory): void;
}

/** Settings of a model that the passes depend on. */
export interface PassOptions {
  /** Share of a label that training spreads over all classes. */
  labelSmoothing: number;
  /** Whether preprocessing subtracts a mean for each pixel. */
  hasPixelMeans: boolean;
}

/** What the passes of one kind of step over one number of images share. */
export interface StepContext extends PassOptions {
  kernels: Kernels;
  fixed: FixedPlan;
  tensors: TensorPlan;
  imageCount: number;
  mode: 'train' | 'evaluate';
}

/** The passes of a step, in order. */
export class PassList {
  readonly passes: Pass[] = [];
  readonly #imageCount: number;
  #imageTiles = 0;

  constructor(imageCount: number) {
    this.#imageCount = imageCount;
  }

  /** Number of tiles of the latest pass over images, and so of the partial sums that it made. */
  get imageTiles(): number {
    return this.#imageTiles;
  }

  /**
   * Adds a pass over the images that takes each block through all stages.
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

  /** Adds a pass whose tiles are not images. */
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

/** Splits the images into at most maxTiles tiles of equal size, except for the last, and each tile into blocks. */
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
