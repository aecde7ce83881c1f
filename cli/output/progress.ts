// What a person sees of a run: a live line on a terminal, plain lines when piped, the workers' comings and goings.
import type { Coordinator } from '../../coordinator/main.js';
import type { Metrics } from '../../coordinator/run/metrics.js';
import type { Report } from '../../coordinator/run/report.js';
import { phaseNames, type StepPhases } from '../../coordinator/run/step-phases.js';
import { describeSummary, describeTotals, summarizeModel } from '../../inference/export/summary.js';
import type { OperatorAction, RunEventOf } from '../../coordinator/run/run-events.js';
import { layoutModel } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import { countOf, duration, timeLeft, type RateLimitedPrinter } from './line-writer.js';

/** On a pipe a step is told of at most this often. */
const plainLineEveryMs = 10_000;

/** Which parts of the live line a narrow terminal does without: rate, images/s, accuracy, epoch, time left, loss. */
const leastImportantFirst = [4, 5, 3, 0, 6, 2];

const operatorWords: Record<OperatorAction, string> = {
  pause: 'paused',
  continue: 'continued',
  checkpoint: 'checkpoint asked for',
  stop: 'stopping',
  drop: 'dropping',
};

/** Follows a run from its first line to its last. @param summary whether it begins with the list of all layers */
export function showProgress(run: Coordinator, writer: RateLimitedPrinter, summary: boolean): void {
  const { config, events, totalSteps, stepsPerEpoch } = run;
  const epochs = Math.ceil(totalSteps / stepsPerEpoch);
  const model = summarizeModel(layoutModel(config));
  const parameters = model.trainableParameters.toLocaleString('en-US');
  if (summary) for (const line of describeSummary(model)) writer.line(line);
  else writer.line(describeTotals(model));
  writer.line(`lockstep ${lockstepVersion} · ResNet-${config.depth}, ${parameters} weights · images: ${run.dataset}`);
  writer.line(
    `${countOf(totalSteps, 'step')} of ${countOf(config.batchSize, 'image')} in ${countOf(config.slices, 'slice')}, ` +
      `${countOf(stepsPerEpoch, 'step')} an epoch · run: ${run.runDirectory}`,
  );
  // As the run reckons it: waits for workers and pauses tell nothing of the steps to come.
  const left = () => timeLeft(run.status().run.secondsLeft);
  let lastLineMs = performance.now();
  let epochSums = { loss: 0, accuracy: 0, imagesPerSecond: 0, steps: 0 };
  let epochLine = '';

  events.on('resumed', ({ step, path }) => writer.line(`resumed after step ${step} of ${totalSteps}, from ${path}`));
  events.on('waiting', ({ workers, needed }) => writer.line(`waiting for workers: ${workers} of ${needed} are here`));
  events.on('worker-joined', ({ name, fingerprint, workers }) =>
    writer.line(`${name} joined (${fingerprint}), ${countOf(workers, 'worker')} now`),
  );
  events.on('worker-lost', ({ name, reason, workers }) =>
    writer.line(`${name} is gone (${reason}), ${countOf(workers, 'worker')} left`),
  );
  events.on('slices-reassigned', ({ step, slices }) =>
    writer.line(`step ${step}: ${countOf(slices, 'slice')} went to other workers`),
  );
  events.on('straggler', ({ step, name, slices, speculative }) =>
    writer.line(
      `step ${step}: ${name} is late, ${countOf(slices, 'slice')} of it went to ${speculative.join(', ')} too`,
    ),
  );
  events.on('inexact', (event) => writer.line(`warning: ${inexactLine(event)}`));
  events.on('operated', ({ action, detail }) => writer.line(`${operatorWords[action]} ${detail}`));
  events.on('timeline', ({ file, from, to }) =>
    writer.line(`timeline of steps ${from} to ${to}: ${file} (open it at ui.perfetto.dev)`),
  );
  events.on('access', ({ message }) => writer.line(`door: ${message}`));
  events.on('step', ({ step, epoch, loss, accuracy, learningRate, imagesPerSecond }) => {
    const { steps } = epochSums;
    epochSums = {
      loss: epochSums.loss + loss,
      accuracy: epochSums.accuracy + accuracy,
      imagesPerSecond: epochSums.imagesPerSecond + imagesPerSecond,
      steps: steps + 1,
    };
    const now = performance.now();
    const parts = [
      `epoch ${epoch}/${epochs}`,
      `step ${step}/${totalSteps}`,
      `loss ${(epochSums.loss / (steps + 1)).toFixed(4)}`,
      `accuracy ${(epochSums.accuracy / (steps + 1)).toFixed(4)}`,
      `rate ${Number(learningRate.toPrecision(6))}`,
      `${(epochSums.imagesPerSecond / (steps + 1)).toFixed(0)} images/s`,
    ];
    epochLine = parts.join(' · ');
    if (writer.isTerminal) {
      writer.live([...parts, left()], leastImportantFirst);
    } else if (now - lastLineMs > plainLineEveryMs) {
      lastLineMs = now;
      writer.line(`${epochLine} · ${left()}`);
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
  events.on('test', (metrics) => writer.line(testLine(metrics)));
}

/** What two engines in one run mean, and what to do about it. */
export function inexactLine({ name, fingerprint, first }: RunEventOf<'inexact'>): string {
  const alike = first.startsWith('wasm/') ? ', and those with --engine wasm are alike' : '';
  return (
    `${name} computes with ${fingerprint}, the first worker with ${first}: from here on the weights depend on who ` +
    `computes what (--exact refuses such workers${alike})`
  );
}

export function testLine({ loss, accuracy }: Metrics): string {
  return `Test loss: ${loss.toFixed(4)} / Test accuracy: ${accuracy.toFixed(4)}`;
}

export function weightsLine({ exact, weightsSha256 }: Pick<Report, 'exact' | 'weightsSha256'>): string {
  const exactness = exact
    ? 'exact'
    : 'not exact: the workers computed with different engines, or the run was resumed with --override';
  return `weights ${weightsSha256} (${exactness})`;
}

/** The last lines of a finished run, behind the test's. */
export function showReport(report: Report, runDirectory: string, writer: RateLimitedPrinter): void {
  writer.line(weightsLine(report));
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
