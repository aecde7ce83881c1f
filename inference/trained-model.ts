// Loads a trained model from a checkpoint, for predict and export.
import { loadCheckpoint } from '../coordinator/run/checkpoints/load-checkpoint.js';
import type { DatasetDescription } from '../shared/dataset/description.js';
import type { TestTimeAugmentation } from '../shared/dataset/test-time-augmentation.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { TrainedModel } from './export/network.js';

export interface LoadedModel {
  model: TrainedModel & { layout: ModelLayout };
  /** What the images are that the model was trained on. */
  dataset: DatasetDescription;
  /** The run's setting. */
  testTimeAugmentation: TestTimeAugmentation;
  /** Folder of the checkpoint. */
  checkpoint: string;
}

/**
 * Loads a trained model. Throws `no-checkpoint` if no checkpoint is found, and `bad-checkpoint` if it is damaged.
 * @param location a checkpoint, `checkpoints/latest`, or a run directory
 */
export async function loadTrainedModel(location: string): Promise<LoadedModel> {
  const checkpoint = await loadCheckpoint(location);
  const { config, layout, preprocessing, dataset, weights, movingStatistics, step, weightsSha256 } = checkpoint;
  return {
    model: { layout, weights, movingStatistics, preprocessing, classNames: dataset.classNames, step, weightsSha256 },
    dataset,
    testTimeAugmentation: config.testTimeAugmentation,
    checkpoint: checkpoint.path,
  };
}
