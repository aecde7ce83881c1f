// Where a resumed run goes on, and whether what it is to go on with is what it was. Nothing here changes a file.
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { recipeFields } from '../../shared/config/config-fields.js';
import { resolveConfig, totalStepsOf, type Config, type ConfigInput } from '../../shared/config/config.js';
import { LockstepError, systemCodeOf } from '../../shared/errors.js';
import { layoutHash } from '../../shared/network/layout-hash.js';
import { layoutModel } from '../../shared/network/layout.js';
import { listCheckpoints } from './checkpoint.js';
import { readPretrainedWeights, type PretrainedWeights } from './pretrained-weights.js';
import { learningRateAt } from '../optimizer/learning-rate.js';
import { loadCheckpoint, loadNewestSound, type Checkpoint } from './load-checkpoint.js';
import type { ShardStore } from '../dataset/shard-store.js';
import type { RunSetup } from './run-setup.js';

/** Where runs are written unless said otherwise. */
export const runsDirectory = 'runs';

export interface ResumeOptions {
  /**
   * Goes on from a checkpoint: its path, or a run's; true for the newest in `runDir`, or, without one, of the run that
   * saved last under `runs/`. `auto` is true where there is a checkpoint and starts from the beginning where there is
   * none; of a damaged one it takes the sound one before it.
   */
  resume?: boolean | string | undefined;
  /** Goes on although the configuration or the images are others: the weights are then those of neither. */
  override?: boolean | undefined;
}

/** What a run is to be, and what it goes on from. */
export interface PlannedRun {
  config: Config;
  checkpoint: Checkpoint | undefined;
  /** Weights to start from instead of random ones; never for a resumed run. */
  pretrained: PretrainedWeights | undefined;
  /** Keys whose values are not the checkpoint's, under `override`. */
  overridden: readonly string[];
}

/**
 * The configuration of a run: what is given, and under `resume` the checkpoint's for the rest. Initial weights are read
 * where they are given; a checkpoint knows their hash.
 * Throws `bad-config` where a key that the weights depend on is given another value than the checkpoint's,
 * `no-checkpoint` and `bad-checkpoint`.
 */
export async function planRun(input: ConfigInput, { resume, override }: ResumeOptions): Promise<PlannedRun> {
  const checkpoint = await checkpointFor(resume, input.runDir ?? undefined);
  if (checkpoint === undefined) {
    return { ...(await withInitialWeights(resolveConfig(input))), checkpoint, overridden: [] };
  }
  const given: Record<string, unknown> = Object.fromEntries(
    Object.entries(input).filter(([, value]) => value !== undefined),
  );
  const isLengthGiven = (given['steps'] ?? given['epochs'] ?? null) !== null;
  const length = isLengthGiven ? { steps: null, epochs: null } : {};
  const runDir = input.runDir ?? runOf(checkpoint.path) ?? null;
  const merged = resolveConfig({ ...checkpoint.config, ...length, ...given, runDir });
  // Of the weights that the run began with, only others matter.
  const config = given['initialWeights'] === undefined ? merged : (await withInitialWeights(merged, true)).config;
  const changed = changedKeys(checkpoint.config, config);
  if (changed.length > 0 && override !== true) {
    const shown = (values: Config, key: keyof Config) => JSON.stringify(values[key]);
    const list = changed.map((key) => `${key} was ${shown(checkpoint.config, key)} and is ${shown(config, key)}`);
    throw new LockstepError(
      'bad-config',
      `${checkpoint.path} is of a run with another configuration: ${list.join('; ')}: leave these out to go on as it ` +
        'was, or go on with the new values by --override',
    );
  }
  return { config, checkpoint: inRun(checkpoint, runDir), pretrained: undefined, overridden: changed };
}

/** Reads what --initial-weights names, and puts its hash into the configuration. @param isResumed whether any hash will do */
async function withInitialWeights(
  config: Config,
  isResumed = false,
): Promise<{ config: Config; pretrained: PretrainedWeights | undefined }> {
  const { initialWeights, initialWeightsSha256: expected } = config;
  if (initialWeights === null) return { config, pretrained: undefined };
  const given = await readPretrainedWeights(initialWeights, layoutModel(config));
  if (expected !== null && expected !== given.sha256 && !isResumed) {
    throw new LockstepError(
      'bad-config',
      `--initial-weights ${initialWeights} has the hash ${given.sha256}, and initialWeightsSha256 says ${expected}: ` +
        'name the file with that hash, or leave the hash out',
    );
  }
  return { config: Object.freeze({ ...config, initialWeightsSha256: given.sha256 }), pretrained: given };
}

/** A run that branches off into a folder of its own has its best checkpoint still to make. */
function inRun(checkpoint: Checkpoint, runDirectory: string | null): Checkpoint {
  const run = runOf(checkpoint.path);
  if (run !== undefined && runDirectory !== null && path.resolve(run) === path.resolve(runDirectory)) return checkpoint;
  return { ...checkpoint, progress: { ...checkpoint.progress, best: null } };
}

/** Keys that the weights depend on. The length is looked at by assertResumable, which knows what it comes to. */
function changedKeys(before: Config, now: Config): (keyof Config)[] {
  const keys = Object.keys(recipeFields) as (keyof typeof recipeFields)[];
  return keys.filter(
    (key) => key !== 'steps' && key !== 'epochs' && JSON.stringify(before[key]) !== JSON.stringify(now[key]),
  );
}

async function checkpointFor(
  resume: boolean | string | undefined,
  runDirectory: string | undefined,
): Promise<Checkpoint | undefined> {
  if (resume === undefined || resume === false) return undefined;
  const location = runDirectory ?? (await newestRun());
  if (resume === true) {
    if (location !== undefined) return loadCheckpoint(location);
    throw new LockstepError(
      'no-checkpoint',
      `there is no run with a checkpoint in ${path.resolve(runsDirectory)}: name a run with --run-dir, or a checkpoint with --resume`,
    );
  }
  if (resume !== 'auto') return loadCheckpoint(resume);
  return location === undefined ? undefined : loadNewestSound(path.join(location, 'checkpoints'));
}

/** The run under `runs/` that saved last. */
async function newestRun(): Promise<string | undefined> {
  const entries = await readdir(runsDirectory, { withFileTypes: true }).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw error;
  });
  let newest: { run: string; savedMs: number } | undefined;
  for (const entry of entries.filter((each) => each.isDirectory())) {
    const run = path.join(runsDirectory, entry.name);
    const checkpoint = (await listCheckpoints(path.join(run, 'checkpoints'))).at(-1);
    if (checkpoint === undefined) continue;
    const { mtimeMs } = await stat(checkpoint);
    if (newest === undefined || mtimeMs > newest.savedMs) newest = { run, savedMs: mtimeMs };
  }
  return newest?.run;
}

/** The folder of the run that a checkpoint lies in; undefined where it lies elsewhere. */
export function runOf(checkpoint: string): string | undefined {
  const parent = path.dirname(checkpoint);
  return path.basename(parent) === 'checkpoints' ? path.dirname(parent) : undefined;
}

/**
 * Holds a checkpoint against what its run is to go on with. Throws `bad-checkpoint` for another model, `bad-config` for a
 * length that is behind it, `already-finished` where nothing is left to do, and without override `bad-data` for other
 * images and `bad-config` for a length that would have changed the steps it has made.
 * @returns whether the run goes on as it would have without a stop
 */
export async function assertResumable(
  planned: PlannedRun & { checkpoint: Checkpoint },
  { layout, store }: Pick<RunSetup, 'layout' | 'store'>,
  override: boolean,
): Promise<boolean> {
  const { config, checkpoint, overridden } = planned;
  if (layoutHash(layout) !== layoutHash(checkpoint.layout)) {
    throw new LockstepError(
      'bad-checkpoint',
      `${checkpoint.path} is of another model (${overridden.join(', ')}): its weights fit no other`,
    );
  }
  const totalSteps = totalStepsOf(config, store.stepsPerEpoch);
  if (checkpoint.step > totalSteps) {
    throw new LockstepError(
      'bad-config',
      `the run is to have ${totalSteps} steps, and ${checkpoint.path} has made ${checkpoint.step}: give a greater ` +
        '--steps or --epochs, or an earlier checkpoint',
    );
  }
  const difference = otherImages(checkpoint, store) ?? otherRates(checkpoint, config, store.stepsPerEpoch);
  if (difference !== undefined && !override) throw difference;
  if (checkpoint.step === totalSteps && (await isReported(checkpoint))) {
    throw new LockstepError(
      'already-finished',
      `the run of ${checkpoint.path} is finished: ${totalSteps} steps, weights ${checkpoint.weightsSha256}; a greater ` +
        '--steps or --epochs goes on from there',
    );
  }
  return difference === undefined && overridden.length === 0;
}

function otherImages({ shardHashes, path: place }: Checkpoint, { shards }: ShardStore): LockstepError | undefined {
  const other = shards.find((shard, index) => shard.sha256 !== shardHashes[index]);
  if (other === undefined && shards.length === shardHashes.length) return undefined;
  const where =
    other === undefined ? 'there are fewer' : `the first that differs is ${other.split} shard ${other.index}`;
  return new LockstepError(
    'bad-data',
    `the images are not those of ${place} (${where}): give the same with --data, or go on with these by --override`,
  );
}

/** A longer run is the same one only where its schedule does not depend on its length. */
function otherRates(checkpoint: Checkpoint, now: Config, stepsPerEpoch: number): LockstepError | undefined {
  const runs = [checkpoint.config, now].map((config) => ({
    config,
    length: { totalSteps: totalStepsOf(config, stepsPerEpoch), stepsPerEpoch },
  }));
  for (let step = 0; step < checkpoint.step; step++) {
    const [rateBefore, rateNow] = runs.map(({ config, length }) => learningRateAt(step, config, length));
    if (rateBefore === rateNow) continue;
    const [lengthBefore, lengthNow] = runs.map(({ length }) => length.totalSteps);
    return new LockstepError(
      'bad-config',
      `${checkpoint.path} is of a run of ${lengthBefore} steps, and its learning rates depend on that: in one of ` +
        `${lengthNow} steps, step ${step + 1} has the rate ${rateNow} and not ${rateBefore}: leave the length as it was, ` +
        'or go on by --override',
    );
  }
  return undefined;
}

const reported = z.looseObject({ weightsSha256: z.string() });

/** Whether its run has come to its report: it might have been stopped between the last step and that. */
async function isReported(checkpoint: Checkpoint): Promise<boolean> {
  const run = runOf(checkpoint.path);
  if (run === undefined) return false;
  const json = await readFile(path.join(run, 'report.json'), 'utf8').catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return 'null';
    throw error;
  });
  return reported.safeParse(JSON.parse(json)).data?.weightsSha256 === checkpoint.weightsSha256;
}
