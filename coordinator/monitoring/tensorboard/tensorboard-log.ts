// Writes TensorBoard event files from the events of a run.
import path from 'node:path';
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import { inputTransformOf } from '../../../shared/dataset/input-transform.js';
import { arrayOf, type ModelLayout } from '../../../shared/network/layout.js';
import type { ShardStore } from '../../dataset/shard-store.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import type { RunEventOf } from '../../run/run-events.js';
import type { Outcome } from '../../run/evaluation-report.js';
import type { Metrics } from '../../run/metrics.js';
import { confusionImage } from './confusion-image.js';
import { EventFile } from './event-file.js';
import type { SummaryValue } from './event-message.js';
import { histogramOf } from './histogram.js';
import { kernelGrid } from './kernel-image.js';
import { encodePng } from './png.js';

/**
 * Splits with a folder of their own, as with Keras's callback: TensorBoard overlays curves with equal tags from
 * different folders.
 */
type Split = 'train' | 'validation' | 'test';

export class TensorBoardLog {
  readonly #files: Record<Split, EventFile>;
  readonly #setup: { layout: ModelLayout; store: Pick<ShardStore, 'preprocessing'> };

  /**
   * Creates event files in `<directory>/train`, `<directory>/validation` and `<directory>/test`, and publishes
   * `tensorboard-failed` once if any of them cannot be written.
   * @param stepsMade number of updates made before: existing curves end there and continue in the new files
   */
  constructor(
    directory: string,
    setup: { layout: ModelLayout; store: Pick<ShardStore, 'preprocessing'> },
    stepsMade: number,
    events: RunEventBus,
  ) {
    let hasFailed = false;
    const onError = ({ message: reason }: Error) => {
      if (!hasFailed) events.publish({ type: 'tensorboard-failed', reason });
      hasFailed = true;
    };
    const open = (split: Split) => new EventFile(path.join(directory, split), stepsMade + 1, onError);
    this.#files = { train: open('train'), validation: open('validation'), test: open('test') };
    this.#setup = setup;
    events.on('step', (event) => this.#addStep(event));
    events.on('epoch', (event) => this.#addEpoch(event));
    events.on('validation', (event) => this.#addEvaluation(event));
    events.on('test', (event) => this.#addEvaluation(event));
  }

  /** Closes the files after everything has been written. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.#files).map((file) => file.close()));
  }

  #addEvaluation(event: RunEventOf<'validation' | 'test'>): void {
    this.#files[event.type].add(event.step, [...epochScalars(event), ...detailsOf(event.outcome)]);
  }

  #addStep({ step, loss, accuracy, learningRate, imagesPerSecond }: RunEventOf<'step'>): void {
    this.#files.train.add(step, [
      { tag: 'loss', scalar: loss },
      { tag: 'accuracy', scalar: accuracy },
      { tag: 'learning_rate', scalar: learningRate },
      { tag: 'images_per_second', scalar: imagesPerSecond },
    ]);
  }

  #addEpoch(event: RunEventOf<'epoch'>): void {
    const { step, weights, gradient } = event;
    const { layout, store } = this.#setup;
    this.#files.train.add(step, epochScalars(event));
    const histograms = layout.weights.flatMap((array): SummaryValue[] => [
      { tag: `weights/${array.name}`, histogram: histogramOf(arrayOf(weights, array)) },
      { tag: `gradients/${array.name}`, histogram: histogramOf(arrayOf(gradient, array)) },
    ]);
    this.#files.train.add(step, histograms);
    const grid = kernelGrid(weights, layout.stem.conv, colorsOf(store.preprocessing, layout.data.channels));
    this.#files.train.add(step, [{ tag: 'kernels/stem', image: { ...grid, png: encodePng(grid) } }]);
  }
}

/** Returns the scalars and the image of an evaluation that its loss and accuracy do not contain. */
function detailsOf({ topFiveAccuracy, confusion }: Outcome): SummaryValue[] {
  const topFive = topFiveAccuracy === null ? [] : [{ tag: 'epoch_top_5_accuracy', scalar: topFiveAccuracy }];
  if (confusion === null) return topFive;
  const image = confusionImage(confusion);
  return [...topFive, { tag: 'confusion', image: { ...image, png: encodePng(image) } }];
}

function epochScalars({ loss, accuracy }: Metrics): SummaryValue[] {
  return [
    { tag: 'epoch_loss', scalar: loss },
    { tag: 'epoch_accuracy', scalar: accuracy },
  ];
}

/** Returns the indices of the red, green and blue channels in the network's input; three times the gray channel. */
function colorsOf(preprocessing: Preprocessing, channels: 1 | 3): [number, number, number] {
  if (channels === 1) return [0, 0, 0];
  const { channelOrder } = inputTransformOf(preprocessing, channels);
  return [channelOrder.indexOf(0), channelOrder.indexOf(1), channelOrder.indexOf(2)];
}
