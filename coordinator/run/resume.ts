// Finds the checkpoint that a resumed run continues from, and verifies that configuration and images match it. Changes
// no files.
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { recipeFields } from '../../shared/config/config-fields.js';
import { resolveConfig, totalStepsOf, type Config, type ConfigInput } from '../../shared/config/config.js';
import { browserEngine } from '../../shared/engine-names.js';
import { differenceBetween } from '../../shared/dataset/description-schema.js';
import { ifMissing, LockstepError } from '../../shared/errors.js';
import { describeNetwork } from '../../shared/config/network-config.js';
import { graphSha256 } from '../../shared/network/graph-json.js';
import { layoutHash } from '../../shared/network/layout-hash.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { engineNameIn, type EngineCount } from '../../shared/protocol/engine-identity.js';
import type { ShardStore } from '../dataset/shard-store.js';
import { learningRateAt } from '../../shared/optimizer/learning-rate.js';
import { listCheckpoints, withoutReplacedSuffix } from './checkpoints/checkpoint.js';
import { loadCheckpoint, loadNewestIntact, type Checkpoint } from './checkpoints/load-checkpoint.js';
import { readPretrainedWeights, type PretrainedWeights } from './checkpoints/pretrained-weights.js';
import type { RunSetup } from './run-setup.js';

/** Default parent of run directories. */
export const runsDirectory = 'runs';

export interface ResumeOptions {
  /**
   * Continue from a checkpoint: the path of a checkpoint or of a run directory; or true for the newest checkpoint in
   * `runDir` or, without `runDir`, in the most recently saved run under `runs/`. `auto` is like true, but starts from
   * the beginning if there is no checkpoint, and skips damaged checkpoints.
   */
  resume?: boolean | string | undefined;
  /** Continue even if the configuration or the images have changed. The report then has `exact: false`. */
  override?: boolean | undefined;
}

/** A run's configuration, and the state that it starts from. */
export interface PlannedRun {
  config: Config;
  checkpoint: Checkpoint | undefined;
  /** Fields whose values differ from the checkpoint's; empty without `override`. */
  overridden: readonly (keyof Config)[];
}

/**
 * Resolves the configuration of a run. A resumed run takes omitted fields from the checkpoint.
 * Does not read the initial weights of a new run, which depend on the images: see withInitialWeights.
 * Throws `bad-config` if a field is invalid or, without `override`, if a field that the weights depend on differs from
 * the checkpoint's. Also throws the errors of loadCheckpoint and readPretrainedWeights.
 */
export async function planRun(input: ConfigInput, { resume, override }: ResumeOptions): Promise<PlannedRun> {
  const checkpoint = await findResumed(resume, input.runDir ?? undefined);
  if (checkpoint === undefined) return { config: resolveConfig(input), checkpoint, overridden: [] };
  const given: Record<string, unknown> = Object.fromEntries(
    Object.entries(input).filter(([, value]) => value !== undefined),
  );
  const isLengthGiven = (given['steps'] ?? given['epochs'] ?? null) !== null;
  const length = isLengthGiven ? { steps: null, epochs: null } : {};
  const runDir = input.runDir ?? runOf(checkpoint.path) ?? null;
  const merged = resolveConfig({ ...checkpoint.config, ...length, ...keptEngine(checkpoint, given), ...given, runDir });
  // The checkpoint contains the hash of the initial weights. The weights themselves are read only if the caller
  // specified them, to compare hashes.
  const readsWeights = given['initialWeights'] !== undefined;
  const config = readsWeights ? (await withInitialWeights(merged, checkpoint.layout, true)).config : merged;
  const overridden = changedFields(checkpoint, config);
  if (overridden.length > 0 && override !== true) {
    const before = { ...checkpoint.config, ...engineOf(checkpoint) };
    const shown = (values: typeof before, field: keyof Config) =>
      field === 'network' ? describeNetwork(values.network) : JSON.stringify(values[field]);
    const changes = overridden.map(
      (field) => `\`${field}\` was ${shown(before, field)} and is ${shown(config, field)}`,
    );
    throw new LockstepError(
      'bad-config',
      `${checkpoint.path} was saved with a different configuration: ${changes.join('; ')}. Omit these options to continue ` +
        'with the old values, or add `override` to continue with the new ones',
    );
  }
  return { config, checkpoint: forRun(checkpoint, runDir), overridden };
}

/**
 * Returns a run with the engine that browsers offer, unless its configuration names an engine or it already uses
 * another one.
 */
export function withBrowserEngine(planned: PlannedRun): PlannedRun {
  const { engine, fingerprint } = planned.config;
  const isOpen = engine === 'auto' && (fingerprint === null || engineNameIn(fingerprint) === browserEngine);
  return isOpen ? { ...planned, config: Object.freeze({ ...planned.config, engine: browserEngine }) } : planned;
}

/**
 * Reads the initial weights and stores their hash in the configuration. Throws the errors of readPretrainedWeights, and
 * `bad-config` if they do not have the expected hash.
 * @param acceptAnyHash whether the hash may differ from `initialWeightsSha256`
 * @returns the weights to start from instead of random ones; undefined if the configuration names none
 */
export async function withInitialWeights(
  config: Config,
  layout: ModelLayout,
  acceptAnyHash = false,
): Promise<{ config: Config; pretrained: PretrainedWeights | undefined }> {
  const { initialWeights, initialWeightsSha256: expected } = config;
  if (initialWeights === null) return { config, pretrained: undefined };
  const pretrained = await readPretrainedWeights(initialWeights, layout);
  if (expected !== null && expected !== pretrained.sha256 && !acceptAnyHash) {
    throw new LockstepError(
      'bad-config',
      `the hash of \`initialWeights\` ${initialWeights} is ${pretrained.sha256}, not ${expected} as in ` +
        '`initialWeightsSha256`: specify the file with that hash, or omit the hash',
    );
  }
  return { config: Object.freeze({ ...config, initialWeightsSha256: pretrained.sha256 }), pretrained };
}

/**
 * Clears the best checkpoint if the run continues another run's checkpoint in a new directory, which contains no
 * checkpoints yet. Otherwise, the path becomes the one that the checkpoint has once the run directory is open.
 */
function forRun(checkpoint: Checkpoint, runDirectory: string | null): Checkpoint {
  if (runDirectory !== null && isInRun(checkpoint.path, runDirectory)) {
    return { ...checkpoint, path: withoutReplacedSuffix(checkpoint.path) };
  }
  return { ...checkpoint, progress: { ...checkpoint.progress, best: null } };
}

/** Returns the engine that a checkpoint's run used; undefined if it was saved before the first worker joined. */
function engineOf({ progress }: Checkpoint): Pick<EngineCount, 'engine' | 'fingerprint'> | undefined {
  const { fingerprint, engines } = progress.totals;
  const used = engines.find((engine) => fingerprint === null || engine.fingerprint === fingerprint);
  // All workers may hide which device they have, so that none has exactly the fingerprint of the run.
  return used ?? (fingerprint === null ? undefined : { engine: engineNameIn(fingerprint), fingerprint });
}

/** Returns the fingerprint that a resumed run keeps, unless `engine` names a different engine. */
function keptEngine(checkpoint: Checkpoint, given: Readonly<Record<string, unknown>>): Pick<Config, 'fingerprint'> {
  const kept = engineOf(checkpoint);
  const { engine = 'auto' } = given;
  return { fingerprint: kept !== undefined && (engine === 'auto' || engine === kept.engine) ? kept.fingerprint : null };
}

/**
 * Returns the changed fields that affect the weights, except the run's length, which assertResumable checks. `engine` is
 * among them if it is not the engine that the run has used.
 */
function changedFields(checkpoint: Checkpoint, now: Config): (keyof Config)[] {
  const fields = Object.keys(recipeFields) as (keyof typeof recipeFields)[];
  const before = checkpoint.config;
  const changed: (keyof Config)[] = fields.filter(
    (field) => field !== 'steps' && field !== 'epochs' && JSON.stringify(before[field]) !== JSON.stringify(now[field]),
  );
  const used = engineOf(checkpoint);
  if (used === undefined || used.fingerprint === now.fingerprint) return changed;
  return [...changed, now.fingerprint === null ? 'engine' : 'fingerprint'];
}

/** Loads the checkpoint that `resume` selects; returns undefined to start from the beginning. */
async function findResumed(
  resume: boolean | string | undefined,
  runDirectory: string | undefined,
): Promise<Checkpoint | undefined> {
  if (resume === undefined || resume === false) return undefined;
  if (resume !== true && resume !== 'auto') return loadCheckpoint(resume);
  const run = runDirectory ?? (await newestRun());
  if (resume === 'auto') return run === undefined ? undefined : loadNewestIntact(path.join(run, 'checkpoints'));
  if (run !== undefined) return loadCheckpoint(run);
  throw new LockstepError(
    'no-checkpoint',
    `no run with a checkpoint found in ${path.resolve(runsDirectory)}: specify a run directory with \`runDir\`, or a ` +
      'checkpoint with `resume`',
  );
}

/** Returns the directory of the most recently saved run under `runs/`; undefined if no run has a checkpoint. */
async function newestRun(): Promise<string | undefined> {
  const entries = await readdir(runsDirectory, { withFileTypes: true }).catch(ifMissing([]));
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

/** Returns the run directory that contains a checkpoint, or undefined if the checkpoint is not in a run directory. */
export function runOf(checkpoint: string): string | undefined {
  const parent = path.dirname(checkpoint);
  return path.basename(parent) === 'checkpoints' ? path.dirname(parent) : undefined;
}

export function isInRun(checkpoint: string, runDirectory: string): boolean {
  const run = runOf(checkpoint);
  return run !== undefined && path.resolve(run) === path.resolve(runDirectory);
}

/**
 * Verifies that a run can continue from its checkpoint. Throws `bad-checkpoint` if the model differs, `bad-data` if the
 * images have another shape or other classes, `bad-config` if the run ends before the checkpoint's step, and
 * `already-finished` if nothing is left to do. Without `override`, also throws `bad-data` if the images differ, and `bad-config` if the run's new length would have changed the learning
 * rates of steps already made.
 * @returns whether the run continues exactly as if it had never been interrupted
 */
export async function assertResumable(
  planned: PlannedRun & { checkpoint: Checkpoint },
  { layout, store }: Pick<RunSetup, 'layout' | 'store'>,
  override: boolean,
): Promise<boolean> {
  const { config, checkpoint, overridden } = planned;
  const described = differenceBetween(store.dataset, checkpoint.dataset);
  if (described !== undefined) {
    throw new LockstepError(
      'bad-data',
      `${checkpoint.path} cannot be resumed with these images (${described}): specify the original images with \`data\``,
    );
  }
  if (layoutHash(layout) !== layoutHash(checkpoint.layout)) {
    const fields = overridden.map((field) => `\`${field}\``);
    throw new LockstepError(
      'bad-checkpoint',
      `${checkpoint.path} belongs to a different model (changed: ${fields.join(', ')}): its weights do not fit this one`,
    );
  }
  const totalSteps = totalStepsOf(config, store.stepsPerEpoch);
  if (checkpoint.step > totalSteps) {
    throw new LockstepError(
      'bad-config',
      `the run has ${totalSteps} steps, but ${checkpoint.path} is already at step ${checkpoint.step}: increase \`steps\` ` +
        'or `epochs`, or resume from an earlier checkpoint',
    );
  }
  const difference =
    graphDifference(checkpoint, layout) ??
    imageDifference(checkpoint, store) ??
    rateDifference(checkpoint, config, store.stepsPerEpoch) ??
    roundDifference(checkpoint, config, store.stepsPerEpoch);
  if (difference !== undefined && !override) throw difference;
  if (checkpoint.step === totalSteps && (await isReported(checkpoint))) {
    throw new LockstepError(
      'already-finished',
      `the run of ${checkpoint.path} has finished: ${totalSteps} steps, weights ${checkpoint.weightsSha256}. Increase ` +
        '`steps` or `epochs` to continue it',
    );
  }
  return difference === undefined && overridden.length === 0;
}

/** A network that is chosen by name may differ between versions of Lockstep, even if its arrays do not. */
function graphDifference(checkpoint: Checkpoint, { graph }: ModelLayout): LockstepError | undefined {
  if (graphSha256(graph) === graphSha256(checkpoint.layout.graph)) return undefined;
  return new LockstepError(
    'bad-config',
    `the network ${graph.name} computes something else than in ${checkpoint.path}, which Lockstep ` +
      `${checkpoint.lockstepVersion} wrote: resume with that version, or add \`override\` to continue with the new network`,
  );
}

function imageDifference({ shardHashes, path: checkpoint }: Checkpoint, { shards }: ShardStore) {
  const first = shards.find(({ sha256 }, index) => sha256 !== shardHashes[index]);
  if (first === undefined && shards.length === shardHashes.length) return undefined;
  const where =
    first === undefined ? 'there are fewer shards' : `the first difference is in ${first.split} shard ${first.index}`;
  return new LockstepError(
    'bad-data',
    `these are not the images of ${checkpoint} (${where}): specify the original images with \`data\`, or add \`override\` to ` +
      'continue with these',
  );
}

/**
 * Returns an error if, with the run's new length, any step already made would have had a different learning rate;
 * undefined otherwise.
 */
function rateDifference(checkpoint: Checkpoint, now: Config, stepsPerEpoch: number): LockstepError | undefined {
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
      `${checkpoint.path} belongs to a run of ${lengthBefore} steps, and its learning rates depend on that length: in a run ` +
        `of ${lengthNow} steps, step ${step + 1} has the learning rate ${rateNow} instead of ${rateBefore}. Keep the length, ` +
        'or add `override` to continue anyway',
    );
  }
  return undefined;
}

/** Returns an error if the end of the checkpoint's run cut a round short that would go on in a longer run. */
function roundDifference(checkpoint: Checkpoint, now: Config, stepsPerEpoch: number): LockstepError | undefined {
  const { step, path: location } = checkpoint;
  const totalSteps = totalStepsOf(now, stepsPerEpoch);
  if (step === totalSteps || (step % stepsPerEpoch) % now.localSteps === 0) return undefined;
  return new LockstepError(
    'bad-config',
    `${location} was saved at step ${step}, where its run ended within a round of ${now.localSteps} local steps: in a run of ` +
      `${totalSteps} steps, that round is longer. Resume from an earlier checkpoint, or add \`override\` to continue anyway`,
  );
}

const reported = z.looseObject({ weightsSha256: z.string() });

/**
 * Whether the run of this checkpoint has written a report for these weights. A run may have been stopped after its last
 * step but before its report.
 */
async function isReported({ path: checkpoint, weightsSha256 }: Checkpoint): Promise<boolean> {
  const run = runOf(checkpoint);
  if (run === undefined) return false;
  const json = await readFile(path.join(run, 'report.json'), 'utf8').catch(ifMissing('null'));
  return reported.safeParse(JSON.parse(json)).data?.weightsSha256 === weightsSha256;
}
