// Remembers measured speeds on disk, so that a machine measures each of its engines once per kind of run.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { SpeedCache } from './engine-speeds.js';

/** Maximum number of entries; the oldest are removed. */
const maxEntries = 500;

const cacheFile = z.array(z.tuple([z.string(), z.number().positive()]));

export class DiskSpeedCache implements SpeedCache {
  readonly #file: string;

  constructor(directory: string) {
    this.#file = path.join(directory, 'engine-speeds.json');
  }

  /** A file that is missing, unreadable or damaged counts as empty: the speeds are then measured again. */
  async read(): Promise<Map<string, number>> {
    try {
      return new Map(cacheFile.parse(JSON.parse(await readFile(this.#file, 'utf8'))));
    } catch {
      return new Map();
    }
  }

  async add(speeds: ReadonlyMap<string, number>): Promise<void> {
    const all = await this.read();
    for (const [key, imagesPerSecond] of speeds) {
      all.delete(key);
      all.set(key, imagesPerSecond);
    }
    const partial = `${this.#file}.${process.pid}.partial`;
    await mkdir(path.dirname(this.#file), { recursive: true });
    await writeFile(partial, `${JSON.stringify([...all].slice(-maxEntries), null, 1)}\n`);
    await rename(partial, this.#file);
  }
}
