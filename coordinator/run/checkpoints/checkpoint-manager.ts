// Saves a run's checkpoints, updates the `latest` and `best` links, and removes old checkpoints.
import path from 'node:path';
import {
  checkpointName,
  listCheckpoints,
  pointLinkAt,
  removeCheckpoint,
  saveCheckpoint,
  type BestValidation,
  type RunProgress,
  type SavedState,
} from './checkpoint.js';
import { loadCheckpoint, type Checkpoint } from './load-checkpoint.js';
import type { RunSetup } from '../run-setup.js';

export class CheckpointManager {
  readonly #directory: string;
  readonly #setup: RunSetup;
  #newest: string | undefined;
  #best: BestValidation | null;

  /** @param resumed checkpoint that the run resumes from */
  constructor(
    directory: string,
    setup: RunSetup,
    resumed?: Pick<Checkpoint, 'path'> & { progress: Pick<RunProgress, 'best'> },
  ) {
    this.#directory = directory;
    this.#setup = setup;
    this.#newest = resumed?.path;
    this.#best = resumed?.progress.best ?? null;
  }

  /** Whether there is a checkpoint to continue from. */
  get hasCheckpoint(): boolean {
    return this.#newest !== undefined;
  }

  /** Returns a description of the last checkpoint, for messages. */
  describeLastCheckpoint(): string {
    return this.#newest === undefined ? 'no checkpoint has been saved' : `the last checkpoint is ${this.#newest}`;
  }

  /** Saves a checkpoint, then removes old ones. Throws system errors; earlier checkpoints remain intact. */
  async save(state: SavedState, progress: Omit<RunProgress, 'best'>): Promise<string> {
    const best = betterOf(this.#best, progress.validation, state.step);
    const saved = await saveCheckpoint(this.#directory, this.#setup, state, { ...progress, best });
    this.#newest = saved;
    this.#best = best;
    if (best !== null) await pointLinkAt(this.#directory, 'best', checkpointName(best.step));
    await this.#prune(saved);
    return saved;
  }

  /**
   * Removes all but the newest `keepCheckpoints` checkpoints and the best one, after reading back and verifying the one
   * just saved.
   */
  async #prune(saved: string): Promise<void> {
    const { keepCheckpoints } = this.#setup.config;
    if (keepCheckpoints === null) return;
    await loadCheckpoint(saved);
    const best = this.#best === null ? undefined : path.join(this.#directory, checkpointName(this.#best.step));
    const old = (await listCheckpoints(this.#directory)).slice(0, -keepCheckpoints);
    for (const checkpoint of old) if (checkpoint !== best && checkpoint !== saved) await removeCheckpoint(checkpoint);
  }
}

/**
 * Returns the better of the best validation so far and this step's validation, if there is one: the one with the higher
 * accuracy, or the earlier one if the accuracies are equal.
 */
function betterOf(
  best: BestValidation | null,
  validation: RunProgress['validation'],
  step: number,
): BestValidation | null {
  // A validation at a different step evaluated different weights.
  if (validation?.step !== step) return best;
  return best === null || validation.accuracy > best.accuracy ? { step, accuracy: validation.accuracy } : best;
}
