// Remembers measured speeds on disk, so that a machine measures each of its engines once per kind of run.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';

/** Maximum number of entries; the oldest are removed. */
const maxEntries = 500;

const cacheFile = z.array(z.tuple([z.string(), z.number().positive()]));

export interface SpeedCache {
  /** Returns the remembered speeds in images per second by key, from oldest to newest. */
  read(): Promise<ReadonlyMap<string, number>>;
  /** Adds speeds. Other processes may add theirs at the same time; the last one wins. */
  add(speeds: ReadonlyMap<string, number>): Promise<void>;
}

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
