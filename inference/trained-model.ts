// A checkpoint as a trained model: what evaluate, predict and export begin with.
import { loadCheckpoint } from '../coordinator/run/load-checkpoint.js';
import type { TrainedModel } from './export/network.js';
import type { Config } from '../shared/config/config.js';

export interface LoadedModel {
  model: TrainedModel;
  config: Config;
  /** The checkpoint's folder. */
  checkpoint: string;
}

/**
 * @param location as loadCheckpoint takes it: a checkpoint, `checkpoints/latest`, or a run's folder
 * Throws `no-checkpoint` and `bad-checkpoint`, as it does.
 */
export async function trainedModelOf(location: string): Promise<LoadedModel> {
  const checkpoint = await loadCheckpoint(location);
  const { config, layout, preprocessing, classNames, weights, movingStatistics, step, weightsSha256 } = checkpoint;
  return {
    model: { layout, weights, movingStatistics, preprocessing, classNames, step, weightsSha256 },
    config,
    checkpoint: checkpoint.path,
  };
}
