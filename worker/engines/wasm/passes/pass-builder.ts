// Collects the stages and tasks of a program and arranges them in passes.
import { imagesPerBlock, type Tensor, type ThreadMemory } from '../memory/tensor.js';
import { maxTiles, Tiling, type Pass, type Stage, type Work } from './pass.js';

/** Memory for the partial sums of one pass. Each pass overwrites those of the pass before. */
export interface SumsMemory {
  address: number;
  bytes: number;
}

/** Partial sums of one kind in a pass, one per tile. */
export interface PartialSums {
  addressOf(tile: number): number;
}

/** Work that follows a pass over images and depends on all of its tiles. Its own tiles do not consist of images. */
export interface Task extends Work {
  tensors: readonly Tensor[];
  tiles: number;
  /** @param partialCount number of partial sums, which is the number of tiles of the pass over images */
  run(tile: number, imageCount: number, partialCount: number, memory: ThreadMemory): void;
}

interface OpenPass {
  pixels: number;
  stages: Stage[];
  tasks: Task[];
  sumsBytes: number;
}

export class PassBuilder {
  readonly passes: Pass[] = [];
  readonly tensors = new Set<Tensor>();
  /** Number of images in a block, for each pass over images; undefined for other passes. */
  readonly blockImages: (number | undefined)[] = [];
  readonly #sums: SumsMemory;
  #open: OpenPass | null = null;

  /** @param sums its size is increased to what the passes need; its address must be set before they run */
  constructor(sums: SumsMemory) {
    this.#sums = sums;
  }

  /** Index of the pass that stages are added to. */
  get index(): number {
    return this.passes.length;
  }

  /** Number of images in a block of the open pass; undefined if no pass is open. */
  get openBlockImages(): number | undefined {
    return this.#open === null ? undefined : imagesPerBlock(this.#open.pixels);
  }

  /** Returns whether the open pass uses this tensor. */
  uses(tensor: Tensor): boolean {
    return this.#open !== null && tensor.last === this.index;
  }

  /** Opens a pass over images with this many pixels, unless such a pass is open. */
  open(pixels: number): void {
    if (this.#open?.pixels === pixels) return;
    this.close();
    this.#open = { pixels, stages: [], tasks: [], sumsBytes: 0 };
  }

  add(stage: Stage): void {
    this.#open!.stages.push(stage);
    this.#use(stage.tensors, this.index);
  }

  /** Adds work to do after the open pass. */
  addTask(task: Task): void {
    this.#open!.tasks.push(task);
  }

  /** Reserves memory for partial sums until the open pass's tasks are done. */
  takeSums(bytes: number): PartialSums {
    const open = this.#open!;
    const memory = this.#sums;
    const offset = open.sumsBytes;
    const stride = Math.ceil(bytes / 16) * 16;
    open.sumsBytes += Math.ceil((maxTiles * stride) / 64) * 64;
    memory.bytes = Math.max(memory.bytes, open.sumsBytes);
    return { addressOf: (tile) => memory.address + offset + tile * stride };
  }

  /** Closes the open pass, so that what follows can use the results of its tasks. */
  close(): void {
    if (this.#open === null) return;
    const { pixels, stages, tasks } = this.#open;
    const tiling = new Tiling(pixels);
    this.blockImages.push(imagesPerBlock(pixels));
    this.passes.push(passOverImages(tiling, stages));
    if (tasks.length > 0) {
      for (const { tensors } of tasks) this.#use(tensors, this.index);
      this.blockImages.push(undefined);
      this.passes.push(passOfTasks(tiling, tasks));
    }
    this.#open = null;
  }

  #use(tensors: readonly Tensor[], pass: number): void {
    for (const tensor of tensors) {
      this.tensors.add(tensor);
      tensor.first = Math.min(tensor.first, pass);
      tensor.last = Math.max(tensor.last, pass);
    }
  }
}

function passOverImages(tiling: Tiling, stages: readonly Stage[]): Pass {
  return {
    tileCount: (imageCount) => tiling.tilesOf(imageCount).length,
    run: (tile, imageCount, memory, onStage) => {
      for (const block of tiling.tilesOf(imageCount)[tile]) {
        for (const stage of stages) {
          stage.run(block, memory);
          onStage?.(stage);
        }
      }
    },
  };
}

function passOfTasks(tiling: Tiling, tasks: readonly Task[]): Pass {
  const tiles = tasks.flatMap((task) => Array.from({ length: task.tiles }, (_, tile) => ({ task, tile })));
  return {
    tileCount: () => tiles.length,
    run: (index, imageCount, memory, onStage) => {
      const { task, tile } = tiles[index];
      task.run(tile, imageCount, tiling.tilesOf(imageCount).length, memory);
      onStage?.(task);
    },
  };
}
