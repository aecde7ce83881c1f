// A run as TensorBoard shows it: listens to the run and writes its event files. README lists the tags.
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

/** A folder each, as Keras's callback has them: TensorBoard takes folders for runs, and lays equal tags over each other. */
type Curve = 'train' | 'validation' | 'test';

export class TensorBoardLog {
  readonly #files: Record<Curve, EventFile>;
  readonly #layout: ModelLayout;
  readonly #preprocessing: Preprocessing;

  private constructor(files: Record<Curve, EventFile>, model: { layout: ModelLayout; preprocessing: Preprocessing }) {
    this.#files = files;
    this.#layout = model.layout;
    this.#preprocessing = model.preprocessing;
  }

  /**
   * Begins event files in `<directory>/train`, `validation` and `test`.
   * @param stepsMade what the run goes on from: curves that are there end at this step and go on behind it
   * @param onTrouble told once if a file cannot be written, for a full disk say; that file ends there
   */
  static open(
    directory: string,
    options: {
      layout: ModelLayout;
      preprocessing: Preprocessing;
      stepsMade: number;
      onTrouble: (reason: string) => void;
    },
  ): TensorBoardLog {
    let isTold = false;
    const onTrouble = (error: Error) => {
      if (!isTold) options.onTrouble(error.message);
      isTold = true;
    };
    const open = (curve: Curve) => EventFile.open(path.join(directory, curve), options.stepsMade + 1, onTrouble);
    const [train, validation, test] = [open('train'), open('validation'), open('test')];
    return new TensorBoardLog({ train, validation, test }, options);
  }

  follow(events: RunEventBus): void {
    events.on('step', (event) => this.#addStep(event));
    events.on('epoch', (event) => this.#addEpoch(event));
    events.on('validation', (event) => this.#files.validation.add(event.step, epochScalars(event)));
    events.on('test', (event) => this.#files.test.add(event.step, epochScalars(event)));
  }

  /** Waits for the last byte. */
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

/** Which channel of the network's input is red, which green, which blue. */
function colorsOf(preprocessing: Preprocessing): [number, number, number] {
  const { channelOrder } = inputTransformOf(preprocessing);
  return [channelOrder.indexOf(0), channelOrder.indexOf(1), channelOrder.indexOf(2)];
}
