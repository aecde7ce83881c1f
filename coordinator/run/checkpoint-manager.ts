// Keeps a run's checkpoints: saves them, points `latest` and `best` at theirs, and lets old ones go.
import path from 'node:path';
import {
  checkpointName,
  listCheckpoints,
  pointLinkAt,
  removeCheckpoint,
  saveCheckpoint,
  type BestValidation,
  type CheckpointWriter,
  type RunProgress,
  type TrainingState,
} from './checkpoint.js';
import { loadCheckpoint } from './load-checkpoint.js';

export interface CheckpointManagerOptions extends CheckpointWriter {
  /** How many of the newest stay, beside the best; null for all. */
  keep: number | null;
  /** What the run was resumed from. */
  from: { path: string; progress: Pick<RunProgress, 'best'> } | undefined;
}

export class CheckpointManager {
  readonly #options: CheckpointManagerOptions;
  #newest: string | undefined;
  #best: BestValidation | null;

  constructor(options: CheckpointManagerOptions) {
    this.#options = options;
    this.#newest = options.from?.path;
    this.#best = options.from?.progress.best ?? null;
  }

  /** The path of the newest checkpoint; undefined before the first. */
  get newest(): string | undefined {
    return this.#newest;
  }

  /** Saves, then removes what need not stay. Throws what the disk says; what was saved before stays whole. */
  async save(state: TrainingState, progress: Omit<RunProgress, 'best'>): Promise<string> {
    const { directory, keep } = this.#options;
    const best = betterOf(this.#best, progress.validation, state.step);
    const saved = await saveCheckpoint(this.#options, state, { ...progress, best });
    this.#newest = saved;
    this.#best = best;
    if (best !== null) await pointLinkAt(directory, 'best', checkpointName(best.step));
    if (keep !== null) await this.#prune(saved, keep);
    return saved;
  }

  /** Nothing goes before the new one has been read back whole. */
  async #prune(saved: string, keep: number): Promise<void> {
    await loadCheckpoint(saved);
    const { directory } = this.#options;
    const best = this.#best === null ? undefined : path.join(directory, checkpointName(this.#best.step));
    const old = (await listCheckpoints(directory)).slice(0, -keep);
    for (const checkpoint of old) if (checkpoint !== best && checkpoint !== saved) await removeCheckpoint(checkpoint);
  }
}

/** The validation with the higher accuracy; the earlier one where they are equal. */
function betterOf(
  best: BestValidation | null,
  validation: RunProgress['validation'],
  step: number,
): BestValidation | null {
  // A validation of another step is of other weights.
  if (validation?.step !== step) return best;
  return best === null || validation.accuracy > best.accuracy ? { step, accuracy: validation.accuracy } : best;
}
