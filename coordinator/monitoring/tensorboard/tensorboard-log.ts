// Writes TensorBoard event files from the events of a run.
import path from 'node:path';
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import { inputTransformOf } from '../../../shared/dataset/input-transform.js';
import { arrayOf, type ModelLayout } from '../../../shared/network/layout.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import type { RunEventOf } from '../../run/run-events.js';
import type { Metrics } from '../../run/metrics.js';
import { EventFile } from './event-file.js';
import type { SummaryValue } from './event-message.js';
import { histogramOf } from './histogram.js';
import { kernelGrid } from './kernel-image.js';
import { encodePng } from './png.js';

/** Each split has its own folder, as with Keras's callback: TensorBoard overlays equal tags of different folders. */
type Split = 'train' | 'validation' | 'test';

export class TensorBoardLog {
  readonly #files: Record<Split, EventFile>;
  readonly #layout: ModelLayout;
  readonly #preprocessing: Preprocessing;

  private constructor(files: Record<Split, EventFile>, model: { layout: ModelLayout; preprocessing: Preprocessing }) {
    this.#files = files;
    this.#layout = model.layout;
    this.#preprocessing = model.preprocessing;
  }

  /**
   * Creates event files in `<directory>/train`, `validation` and `test`.
   * @param stepsMade the step that the run resumes from: existing curves end there and continue in the new files
   * @param onError called once if a file cannot be written, for example because the disk is full
   */
  static open(
    directory: string,
    options: {
      layout: ModelLayout;
      preprocessing: Preprocessing;
      stepsMade: number;
      onError: (reason: string) => void;
    },
  ): TensorBoardLog {
    let hasFailed = false;
    const onError = (error: Error) => {
      if (!hasFailed) options.onError(error.message);
      hasFailed = true;
    };
    const open = (split: Split) => EventFile.open(path.join(directory, split), options.stepsMade + 1, onError);
    const [train, validation, test] = [open('train'), open('validation'), open('test')];
    return new TensorBoardLog({ train, validation, test }, options);
  }

  subscribe(events: RunEventBus): void {
    events.on('step', (event) => this.#addStep(event));
    events.on('epoch', (event) => this.#addEpoch(event));
    events.on('validation', (event) => this.#files.validation.add(event.step, epochScalars(event)));
    events.on('test', (event) => this.#files.test.add(event.step, epochScalars(event)));
  }

  /** Waits until everything is written. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.#files).map((file) => file.close()));
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
    this.#files.train.add(step, epochScalars(event));
    const histograms = this.#layout.trainable.flatMap((array): SummaryValue[] => [
      { tag: `weights/${array.name}`, histogram: histogramOf(arrayOf(weights, array)) },
      { tag: `gradients/${array.name}`, histogram: histogramOf(arrayOf(gradient, array)) },
    ]);
    this.#files.train.add(step, histograms);
    const grid = kernelGrid(weights, this.#layout.stem.conv, colorsOf(this.#preprocessing));
    this.#files.train.add(step, [{ tag: 'kernels/stem', image: { ...grid, png: encodePng(grid) } }]);
  }
}

function epochScalars({ loss, accuracy }: Metrics): SummaryValue[] {
  return [
    { tag: 'epoch_loss', scalar: loss },
    { tag: 'epoch_accuracy', scalar: accuracy },
  ];
}

/** The channels of the network's input that are red, green and blue. */
function colorsOf(preprocessing: Preprocessing): [number, number, number] {
  const { channelOrder } = inputTransformOf(preprocessing);
  return [channelOrder.indexOf(0), channelOrder.indexOf(1), channelOrder.indexOf(2)];
}
