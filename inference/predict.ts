// The library's predict: classifies images with a trained model.
import { evaluationShardImages } from '../coordinator/dataset/shard-store.js';
import { readImages } from '../datasets/images/read-image.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { identityAugmentations } from '../shared/dataset/image-batch.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import type { TestTimeAugmentation } from '../shared/dataset/test-time-augmentation.js';
import type { ImageFit } from '../shared/dataset/description.js';
import { writePixels } from './image-record.js';
import { loadTrainedModel } from './trained-model.js';
import type { EngineName } from '../shared/engine-names.js';
import { evaluateViews } from '../worker/computation/evaluate-views.js';
import { openEngine } from '../worker/engines/registry.js';

export interface PredictOptions {
  /** Path of a checkpoint, or of a run directory for its latest checkpoint. */
  checkpoint: string;
  /** Paths of JPEG, PNG, WebP, GIF, TIFF or AVIF files, of any image dimensions up to 268 megapixels. */
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
  const decoded = await readImages(images, format, fit);
  const records = new Uint8Array(images.length * recordBytes);
  for (const [index, { planes }] of decoded.entries()) {
    writePixels(planes, records.subarray(index * recordBytes, (index + 1) * recordBytes), format);
  }
  const engine = await openEngine(engineName, { threads });
  try {
    const engineModel = await engine.createModel(layout, preprocessing);
    engineModel.setWeights(weights, movingStatistics);
    const logits = new Float32Array(images.length * classCount);
    // As many images at once as in an evaluation, which limits the memory.
    const maxImages = evaluationShardImages(format);
    for (let first = 0; first < images.length; first += maxImages) {
      const count = Math.min(maxImages, images.length - first);
      const indices = Uint32Array.from({ length: count }, (_, index) => first + index);
      const batch = { records, format, indices, augmentations: identityAugmentations(count) };
      logits.set((await evaluateViews(engineModel, batch, testTimeAugmentation)).logits, first * classCount);
    }
    engineModel.dispose();
    const predictions = images.map((image, index) => {
      const probabilities = softmax(logits.subarray(index * classCount, (index + 1) * classCount));
      const classes = classNames.map((name, label) => ({ name, probability: probabilities[label] }));
      const { width, height } = decoded[index].original;
      return { image, width, height, classes: classes.toSorted((a, b) => b.probability - a.probability) };
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
