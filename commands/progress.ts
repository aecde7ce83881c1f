// What a person sees of a run: a live line on a terminal, plain lines when piped, the workers' comings and goings.
import type { Coordinator } from '../coordinator/main.js';
import { phaseNames, type Report, type StepPhases } from '../coordinator/report.js';
import { describeSummary, describeTotals, summarizeModel } from '../export/summary.js';
import type { OperatorAction } from '../coordinator/run-events.js';
import { layoutModel } from '../shared/model/layout.js';
import { lockstepVersion } from '../shared/version.js';

/** On a pipe a step is told of at most this often. */
const plainLineEveryMs = 10_000;

export interface Output {
  isTerminal: boolean;
  write(text: string): void;
}

export const standardOutput: Output = {
  isTerminal: process.stdout.isTTY,
  write: (text) => void process.stdout.write(text),
};

/** Writes whole lines; on a terminal the last one may be a live line that the next one replaces. */
export class LineWriter {
  readonly #output: Output;
  #liveLength = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  get isTerminal(): boolean {
    return this.#output.isTerminal;
  }

  line(text: string): void {
    this.#clear();
    this.#output.write(`${text}\n`);
  }

  live(text: string): void {
    this.#clear();
    this.#output.write(text);
    this.#liveLength = text.length;
  }

  /** To standard error, where it stands out and is not taken for output. */
  warning(text: string): void {
    this.#clear();
    process.stderr.write(`lockstep: warning: ${text}\n`);
  }

  #clear(): void {
    if (this.#liveLength > 0) this.#output.write(`\r${' '.repeat(this.#liveLength)}\r`);
    this.#liveLength = 0;
  }
}

const operatorWords: Record<OperatorAction, string> = {
  pause: 'paused',
  continue: 'continued',
  checkpoint: 'checkpoint asked for',
  stop: 'stopping',
  drop: 'dropping',
};

/** Follows a run from its first line to its last. @param summary whether it begins with the list of all layers */
export function showProgress(run: Coordinator, writer: LineWriter, summary: boolean): void {
  const { config, events, totalSteps, stepsPerEpoch } = run;
  const epochs = Math.ceil(totalSteps / stepsPerEpoch);
  const model = summarizeModel(layoutModel(config));
  const parameters = model.trainableParameters.toLocaleString('en-US');
  if (summary) for (const line of describeSummary(model)) writer.line(line);
  else writer.line(describeTotals(model));
  writer.line(`lockstep ${lockstepVersion} · ResNet-${config.depth}, ${parameters} weights · images: ${run.dataset}`);
  writer.line(
    `${totalSteps} steps of ${config.batchSize} images in ${config.slices} slices, ` +
      `${stepsPerEpoch} steps an epoch · run: ${run.runDirectory}`,
  );
  const startedMs = performance.now();
  let firstStep = 0;
  let lastLineMs = startedMs;
  let epochSums = { loss: 0, accuracy: 0, imagesPerSecond: 0, steps: 0 };
  let epochLine = '';

  events.on('resumed', ({ step, path }) => {
    firstStep = step;
    writer.line(`resumed after step ${step} of ${totalSteps}, from ${path}`);
  });
  events.on('waiting', ({ workers, needed }) => writer.line(`waiting for workers: ${workers} of ${needed} are here`));
  events.on('workerJoined', ({ name, fingerprint, workers }) =>
    writer.line(`${name} joined (${fingerprint}), ${countOf(workers, 'worker')} now`),
  );
  events.on('workerLost', ({ name, reason, workers }) =>
    writer.line(`${name} is gone (${reason}), ${countOf(workers, 'worker')} left`),
  );
  events.on('slicesReassigned', ({ step, slices }) =>
    writer.line(`step ${step}: ${countOf(slices, 'slice')} went to other workers`),
  );
  events.on('straggler', ({ step, name, slices, helpers }) =>
    writer.line(`step ${step}: ${name} is late, ${countOf(slices, 'slice')} of it went to ${helpers.join(', ')} too`),
  );
  events.on('inexact', ({ name, fingerprint, first }) =>
    writer.line(
      `warning: ${name} computes with ${fingerprint}, the first worker with ${first}: from here on the weights ` +
        'depend on who computes what (--exact refuses such workers)',
    ),
  );
  events.on('operated', ({ action, detail }) => writer.line(`${operatorWords[action]} ${detail}`));
  events.on('door', ({ message }) => writer.line(`door: ${message}`));
  events.on('step', ({ step, epoch, loss, accuracy, learningRate, imagesPerSecond }) => {
    const { steps } = epochSums;
    epochSums = {
      loss: epochSums.loss + loss,
      accuracy: epochSums.accuracy + accuracy,
      imagesPerSecond: epochSums.imagesPerSecond + imagesPerSecond,
      steps: steps + 1,
    };
    const now = performance.now();
    const left = duration(((now - startedMs) / (step - firstStep)) * (totalSteps - step));
    epochLine =
      `epoch ${epoch}/${epochs} · step ${step}/${totalSteps} · loss ${(epochSums.loss / (steps + 1)).toFixed(4)} · ` +
      `accuracy ${(epochSums.accuracy / (steps + 1)).toFixed(4)} · rate ${Number(learningRate.toPrecision(6))} · ` +
      `${(epochSums.imagesPerSecond / (steps + 1)).toFixed(0)} images/s`;
    if (writer.isTerminal) {
      writer.live(`${epochLine} · ${left} left`);
    } else if (now - lastLineMs > plainLineEveryMs) {
      lastLineMs = now;
      writer.line(`${epochLine} · ${left} left`);
    }
    if (step % stepsPerEpoch === 0 || step === totalSteps) {
      epochSums = { loss: 0, accuracy: 0, imagesPerSecond: 0, steps: 0 };
      if (config.validationSplit === 0) writer.line(epochLine);
    }
  });
  events.on('validation', ({ loss, accuracy }) => {
    lastLineMs = performance.now();
    writer.line(`${epochLine} · validation loss ${loss.toFixed(4)}, accuracy ${accuracy.toFixed(4)}`);
  });
  events.on('test', ({ loss, accuracy }) =>
    writer.line(`Test loss: ${loss.toFixed(4)} / Test accuracy: ${accuracy.toFixed(4)}`),
  );
}

/** The last lines of a finished run. */
export function showReport(report: Report, runDirectory: string, writer: LineWriter): void {
  const exactness = report.exact
    ? 'exact'
    : 'not exact: the workers computed with different engines, or the run was resumed with --override';
  writer.line(`weights ${report.weightsSha256} (${exactness})`);
  writer.line(
    `${report.imagesSeen.toLocaleString('en-US')} images at ${report.imagesPerSecond.toFixed(0)} images/s in training, ` +
      `${duration(report.wallSeconds * 1000)} in all`,
  );
  writer.line(`a step: ${describePhases(report.phases)}`);
  writer.line(`the report and the checkpoints are in ${runDirectory}`);
}

const phaseWords: Record<keyof StepPhases, string> = {
  waitForWeights: 'wait for weights',
  augment: 'augment',
  compute: 'compute',
  add: 'add slices',
  send: 'send',
  reduce: 'reduce',
  update: 'update',
  step: 'whole',
};

/** Mean milliseconds, and for each phase its part of the whole step. */
function describePhases(phases: StepPhases): string {
  return phaseNames
    .map((name) => {
      const part = name === 'step' ? '' : ` (${((100 * phases[name]) / Math.max(phases.step, 1e-9)).toFixed(1)}%)`;
      return `${phaseWords[name]} ${phases[name].toFixed(1)} ms${part}`;
    })
    .join(', ');
}

export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `42 s`, `3 min 20 s`, `5 h 12 min` */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
