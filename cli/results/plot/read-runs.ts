// Runs' folders as the curves of a page.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { RunCurves } from '../../../web/plot/curves.js';
import { LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import { curvesFrom } from './run-curves.js';

const metricsFile = 'metrics.jsonl';

/** What a page says of a run's configuration; a run of another version may lack some of it. */
const described = z
  .object({
    depth: z.number(),
    initialFilters: z.number(),
    batchSize: z.number(),
    slices: z.number(),
    schedule: z.string(),
    learningRate: z.number(),
    seed: z.number(),
  })
  .partial();

/** @param folders of runs, each as often as it is named. Throws `bad-option` where one is no run, and `bad-data`. */
export async function readRuns(folders: readonly string[]): Promise<RunCurves[]> {
  const names = distinctNames(folders.map((folder) => path.resolve(folder)));
  return Promise.all(
    folders.map(async (folder, index) => {
      const file = path.join(folder, metricsFile);
      const text = await readFile(file, 'utf8').catch(async (cause: unknown) => {
        throw new LockstepError('bad-option', await whyNoRun(folder, cause), { cause });
      });
      return { name: names[index], ...(await settingsOf(folder)), ...curvesFrom(text, file) };
    }),
  );
}

async function whyNoRun(folder: string, cause: unknown): Promise<string> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => undefined,
  );
  const remedy = `name a run's folder, as --run-dir did, such as runs/first`;
  if (isFolder === undefined) return `RUN is ${folder}, which is not there: ${remedy}`;
  if (!isFolder) return `RUN is ${folder}, which is no folder: ${remedy}`;
  if (systemCodeOf(cause) === 'ENOENT') return `RUN is ${folder}, a folder without ${metricsFile}: ${remedy}`;
  return `RUN is ${folder}, whose ${metricsFile} cannot be read (${messageOf(cause)}): ${remedy}`;
}

/** A run is plotted without its configuration too: then nothing is said of it. */
async function settingsOf(folder: string): Promise<Pick<RunCurves, 'settings' | 'batchSize'>> {
  const text = await readFile(path.join(folder, 'config.json'), 'utf8').catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return '{}';
    throw error;
  });
  const parsed = described.safeParse(JSON.parse(text));
  if (!parsed.success) return { settings: '', batchSize: null };
  const { depth, initialFilters, batchSize, slices, schedule, learningRate, seed } = parsed.data;
  const parts = [
    depth === undefined ? [] : `ResNet-${depth}`,
    initialFilters === undefined || initialFilters === 16 ? [] : `${initialFilters} filters`,
    batchSize === undefined ? [] : `batch ${batchSize}${slices === undefined ? '' : ` in ${slices} slices`}`,
    schedule === undefined ? [] : `${schedule}${learningRate === undefined ? '' : ` ${learningRate}`}`,
    seed === undefined ? [] : `seed ${seed}`,
  ];
  return { settings: parts.flat().join(', '), batchSize: batchSize ?? null };
}

/** The last parts of each path, as many as tell it from the others; numbered where two are the same. */
export function distinctNames(paths: readonly string[]): string[] {
  const parts = paths.map((each) => each.split(path.sep).filter((part) => part !== ''));
  return parts.map((own, index) => {
    const others = parts.filter((_, other) => other !== index);
    const count = own.findIndex((_, from) => {
      const suffix = own.slice(own.length - 1 - from).join('/');
      return others.every((other) => other.slice(-1 - from).join('/') !== suffix);
    });
    if (count >= 0) return own.slice(own.length - 1 - count).join('/');
    const before = paths.slice(0, index).filter((other) => other === paths[index]).length;
    return before === 0 ? own.slice(-1).join('/') : `${own.slice(-1).join('/')} (${before + 1})`;
  });
}
