// What a trained model takes pictures for: the library's predict.
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { identityAugmentations, recordBytes } from '../shared/dataset/image-batch.js';
import { classCount } from '../shared/network/layout.js';
import { recordOf, type Fit } from './images/resize.js';
import { trainedModelOf } from './trained-model.js';
import { openEngine, type EngineName } from '../worker/engines/registry.js';

export interface PredictOptions {
  /** A checkpoint, or a run's folder, which means its latest. */
  checkpoint: string;
  /** PNG or JPEG files, of any size. */
  images: readonly string[];
  /** How a picture becomes a square; `crop`, its middle, unless said. */
  fit?: Fit | undefined;
  /** `wasm` unless said: it starts at once, and gives the same numbers on every machine. */
  engine?: EngineName | undefined;
  /** 1 unless said. */
  threads?: number | undefined;
}

export interface Prediction {
  image: string;
  /** Of the file, upright. */
  width: number;
  height: number;
  /** All ten, the most probable first. */
  classes: { name: string; probability: number }[];
}

export interface Predictions {
  /** The checkpoint's folder. */
  checkpoint: string;
  step: number;
  engine: EngineIdentity;
  predictions: Prediction[];
}

/** Throws LockstepError for a checkpoint or a picture that cannot be read. */
export async function predict(options: PredictOptions): Promise<Predictions> {
  const { images, fit = 'crop', engine: engineName = 'wasm', threads = 1 } = options;
  const { model, checkpoint } = await trainedModelOf(options.checkpoint);
  const { layout, weights, movingStatistics, preprocessing, classNames, step } = model;
  // The decoders are loaded only when there is something to decode.
  const { readImage } = await import('./images/read.js');
  const records = new Uint8Array(images.length * recordBytes);
  const sizes: { width: number; height: number }[] = [];
  for (const [place, image] of images.entries()) {
    const picture = await readImage(image);
    records.set(recordOf(picture, fit), place * recordBytes);
    sizes.push({ width: picture.width, height: picture.height });
  }
  const { engine } = await openEngine(engineName, { threads });
  try {
    const computing = await engine.createModel(layout, preprocessing);
    computing.setWeights(weights, movingStatistics);
    const indices = Uint32Array.from(images.keys());
    const augmentations = identityAugmentations(images.length);
    const { logits } = await computing.evaluate({ records, indices, augmentations });
    computing.dispose();
    const predictions = images.map((image, place) => {
      const probabilities = softmax(logits.subarray(place * classCount, (place + 1) * classCount));
      const classes = classNames.map((name, label) => ({ name, probability: probabilities[label] }));
      return Object.assign(sizes[place], { image, classes: classes.toSorted((a, b) => b.probability - a.probability) });
    });
    return { checkpoint, step, engine: engine.identity, predictions };
  } finally {
    await engine.close();
  }
}

export function softmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
