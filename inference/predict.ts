// The library's predict: classifies images with a trained model.
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { identityAugmentations } from '../shared/dataset/image-batch.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import type { TestTimeAugmentation } from '../shared/dataset/test-time-augmentation.js';
import type { ImageFit } from '../shared/dataset/description.js';
import { recordOf } from './images/resize.js';
import { loadTrainedModel } from './trained-model.js';
import type { EngineName } from '../shared/engine-names.js';
import { evaluateViews } from '../worker/computation/evaluate-views.js';
import { openEngine } from '../worker/engines/registry.js';

export interface PredictOptions {
  /** Path of a checkpoint, or of a run directory for its latest checkpoint. */
  checkpoint: string;
  /** Paths of PNG or JPEG files, of any image dimensions up to 64 megapixels. */
  images: readonly string[];
  /**
   * How to give an image the aspect ratio of the training images; by default, as the training images were resized, or
   * `crop` if they were not.
   */
  fit?: ImageFit | undefined;
  /** Views of each image whose logits are averaged; by default, the run's setting. */
  testTimeAugmentation?: TestTimeAugmentation | undefined;
  /** Engine, `wasm` by default, because it starts quickly and gives the same result on every machine. */
  engine?: EngineName | undefined;
  /** Number of CPU threads; 1 by default. */
  threads?: number | undefined;
}

export interface Prediction {
  /** Path of the image file. */
  image: string;
  /** Width in pixels of the image after applying the EXIF orientation. */
  width: number;
  height: number;
  /** All classes, from most to least probable. */
  classes: { name: string; probability: number }[];
}

export interface Predictions {
  /** Folder of the checkpoint. */
  checkpoint: string;
  step: number;
  engine: EngineIdentity;
  predictions: Prediction[];
}

/** Classifies images. Throws LockstepError if the checkpoint or an image cannot be read. */
export async function predict(options: PredictOptions): Promise<Predictions> {
  const { images, engine: engineName = 'wasm', threads = 1 } = options;
  const { model, dataset, checkpoint, ...trained } = await loadTrainedModel(options.checkpoint);
  const { fit = dataset.fit ?? 'crop', testTimeAugmentation = trained.testTimeAugmentation } = options;
  const format = recordFormatOf(dataset);
  const { classCount, recordBytes } = format;
  const { layout, weights, movingStatistics, preprocessing, classNames, step } = model;
  // Loads the image decoders only when they are needed.
  const { readImage } = await import('./images/read.js');
  const records = new Uint8Array(images.length * recordBytes);
  const sizes: { width: number; height: number }[] = [];
  for (const [index, file] of images.entries()) {
    const image = await readImage(file);
    records.set(recordOf(image, fit, format), index * recordBytes);
    sizes.push({ width: image.width, height: image.height });
  }
  const engine = await openEngine(engineName, { threads });
  try {
    const engineModel = await engine.createModel(layout, preprocessing);
    engineModel.setWeights(weights, movingStatistics);
    const indices = Uint32Array.from(images.keys());
    const batch = { records, format, indices, augmentations: identityAugmentations(images.length) };
    const { logits } = await evaluateViews(engineModel, batch, testTimeAugmentation);
    engineModel.dispose();
    const predictions = images.map((image, index) => {
      const probabilities = softmax(logits.subarray(index * classCount, (index + 1) * classCount));
      const classes = classNames.map((name, label) => ({ name, probability: probabilities[label] }));
      return Object.assign(sizes[index], { image, classes: classes.toSorted((a, b) => b.probability - a.probability) });
    });
    return { checkpoint, step, engine: engine.identity, predictions };
  } finally {
    await engine.close();
  }
}

export function softmax(logits: Float32Array): number[] {
  const max = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - max));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}
