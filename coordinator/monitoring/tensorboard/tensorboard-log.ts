// Writes TensorBoard event files from the events of a run.
import path from 'node:path';
import type { ChannelOrder } from '../../../shared/network/graph.js';
import type { Conv2dLayer } from '../../../shared/network/layers.js';
import { arrayOf, type ModelLayout } from '../../../shared/network/layout.js';
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
  readonly #layout: ModelLayout;

  /**
   * Creates event files in `<directory>/train`, `<directory>/validation` and `<directory>/test`, and publishes
   * `tensorboard-failed` once if any of them cannot be written.
   * @param stepsMade number of updates made before: existing curves end there and continue in the new files
   */
  constructor(directory: string, { layout }: { layout: ModelLayout }, stepsMade: number, events: RunEventBus) {
    let hasFailed = false;
    const onError = ({ message: reason }: Error) => {
      if (!hasFailed) events.publish({ type: 'tensorboard-failed', reason });
      hasFailed = true;
    };
    const open = (split: Split) => new EventFile(path.join(directory, split), stepsMade + 1, onError);
    this.#files = { train: open('train'), validation: open('validation'), test: open('test') };
    this.#layout = layout;
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
    this.#files.train.add(step, epochScalars(event));
    const histograms = this.#layout.weights.flatMap((array): SummaryValue[] => [
      { tag: `weights/${array.name}`, histogram: histogramOf(arrayOf(weights, array)) },
      { tag: `gradients/${array.name}`, histogram: histogramOf(arrayOf(gradient, array)) },
    ]);
    this.#files.train.add(step, histograms);
    const conv = convolutionOverColors(this.#layout);
    if (conv === undefined) return;
    const grid = kernelGrid(weights, conv.kernel, colorsOf(conv, this.#layout.graph.channelOrder));
    this.#files.train.add(step, [{ tag: `kernels/${conv.name}`, image: { ...grid, png: encodePng(grid) } }]);
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

/** Returns the first convolution over three channels or one, which is usually that of the images' colors. */
function convolutionOverColors({ layers }: ModelLayout): Conv2dLayer | undefined {
  const convolutions = layers.filter((layer) => layer.op === 'conv2d');
  return convolutions.find(({ inputShapes: [input] }) => input[2] === 3 || input[2] === 1);
}

/** Returns the indices of the red, green and blue input channels; three times the only one for gray and depthwise. */
function colorsOf({ kernel }: Conv2dLayer, channelOrder: ChannelOrder): [number, number, number] {
  if (kernel.shape[2] === 1) return [0, 0, 0];
  return channelOrder === 'rgb' ? [0, 1, 2] : [2, 1, 0];
}
