// Loads the trained model of a checkpoint, for predict and export.
import { loadCheckpoint } from '../coordinator/run/checkpoints/load-checkpoint.js';
import type { TrainedModel } from './export/network.js';

export interface LoadedModel {
  model: TrainedModel;
  /** Folder of the checkpoint. */
  checkpoint: string;
}

/**
 * @param location a checkpoint, `checkpoints/latest`, or a run directory
 * Throws `no-checkpoint` and `bad-checkpoint`.
 */
export async function loadTrainedModel(location: string): Promise<LoadedModel> {
  const checkpoint = await loadCheckpoint(location);
  const { layout, preprocessing, classNames, weights, movingStatistics, step, weightsSha256 } = checkpoint;
  return {
    model: { layout, weights, movingStatistics, preprocessing, classNames, step, weightsSha256 },
    checkpoint: checkpoint.path,
  };
}
