// Reads run directories for a plot.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { RunCurves } from '../../../web/plot/curves.js';
import { LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import { curvesFrom } from './run-curves.js';

const metricsFile = 'metrics.jsonl';

/** Configuration fields that a plot shows. Runs of other versions of Lockstep may lack some of them. */
const shownConfig = z
  .object({
    network: z.union([z.string(), z.looseObject({ name: z.string() })]),
    depth: z.number(),
    initialFilters: z.number(),
    batchSize: z.number(),
    slices: z.number(),
    schedule: z.string(),
    learningRate: z.number(),
    seed: z.number(),
  })
  .partial();

/**
 * Reads the settings and curves of each run. Throws `bad-option` for a folder that is not a run directory, and
 * `bad-data` for damaged metrics.
 */
export async function readRuns(folders: readonly string[]): Promise<RunCurves[]> {
  const names = distinctNames(folders.map((folder) => path.resolve(folder)));
  return Promise.all(
    folders.map(async (folder, index) => {
      const file = path.join(folder, metricsFile);
      const text = await readFile(file, 'utf8').catch(async (cause: unknown) => {
        throw new LockstepError('bad-option', await explainMissingMetrics(folder, cause), { cause });
      });
      return { name: names[index], ...(await settingsOf(folder)), ...curvesFrom(text, file) };
    }),
  );
}

async function explainMissingMetrics(folder: string, cause: unknown): Promise<string> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => undefined,
  );
  const remedy = 'specify a run directory, for example runs/first';
  if (isFolder === undefined) return `RUN-DIR is ${folder}, which does not exist: ${remedy}`;
  if (!isFolder) return `RUN-DIR is ${folder}, which is not a folder: ${remedy}`;
  if (systemCodeOf(cause) === 'ENOENT') return `RUN-DIR is ${folder}, which has no ${metricsFile}: ${remedy}`;
  return `RUN-DIR is ${folder}, whose ${metricsFile} cannot be read (${messageOf(cause)})`;
}

/** Returns a description of the configuration; it is empty if the run directory has no configuration. */
async function settingsOf(folder: string): Promise<Pick<RunCurves, 'settings' | 'batchSize'>> {
  const text = await readFile(path.join(folder, 'config.json'), 'utf8').catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return '{}';
    throw error;
  });
  const parsed = shownConfig.safeParse(JSON.parse(text));
  if (!parsed.success) return { settings: '', batchSize: null };
  const { network = 'resnet', depth, initialFilters, batchSize, slices, schedule, learningRate, seed } = parsed.data;
  const parts = [
    network === 'resnet' ? describeResnet(depth, initialFilters) : typeof network === 'string' ? network : network.name,
    batchSize === undefined ? [] : `batch ${batchSize}${slices === undefined ? '' : ` in ${slices} slices`}`,
    schedule === undefined ? [] : `${schedule}${learningRate === undefined ? '' : ` ${learningRate}`}`,
    seed === undefined ? [] : `seed ${seed}`,
  ];
  return { settings: parts.flat().join(', '), batchSize: batchSize ?? null };
}

function describeResnet(depth: number | undefined, initialFilters: number | undefined): string[] {
  return [
    depth === undefined ? [] : `ResNet-${depth}`,
    initialFilters === undefined || initialFilters === 16 ? [] : `${initialFilters} filters`,
  ].flat();
}

/** Returns the shortest suffix of each path that distinguishes it from the others. Identical paths are numbered. */
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
