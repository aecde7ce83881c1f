// Human-readable output of a run: its progress, workers that join and leave, and its result.
import type { Coordinator } from '../../coordinator/main.js';
import type { Metrics } from '../../coordinator/run/metrics.js';
import type { Report } from '../../coordinator/run/report.js';
import { phaseNames, type StepPhases } from '../../coordinator/run/step-phases.js';
import { summarizeModel } from '../../inference/export/summary.js';
import type { OperatorAction, RunEventOf } from '../../coordinator/run/run-events.js';
import { lockstepVersion } from '../../shared/version.js';
import { formatCount, formatDuration, formatLearningRate, formatPercent, formatTimeLeft } from './format.js';
import { describeSummary, describeTotals } from './model-summary.js';
import type { RateLimitedPrinter } from './printer.js';

/**
 * Indices of the parts that the progress line omits on a narrow terminal: learning rate, images/s, accuracy, epoch,
 * time left, loss.
 */
const leastImportantFirst = [4, 5, 3, 0, 6, 2];

const operatorWords: Record<OperatorAction, string> = {
  pause: 'paused',
  continue: 'continued',
  checkpoint: 'checkpoint requested',
  stop: 'stop requested',
  drop: 'dropped',
  'create-link': 'join link created',
  'revoke-link': 'join link revoked',
};

/** Shows a run from its start to its test result. @param showsLayers whether to list the layers of the network first */
export function showProgress(run: Coordinator, printer: RateLimitedPrinter, showsLayers: boolean): void {
  showRun(run, printer, showsLayers);
  showEvents(run, printer);
  showSteps(run, printer);
}

function showRun(run: Coordinator, printer: RateLimitedPrinter, showsLayers: boolean): void {
  const { config, layout, totalSteps, stepsPerEpoch, runDirectory, dataset } = run;
  const model = summarizeModel(layout);
  printer.line(...(showsLayers ? describeSummary(model) : [describeTotals(model)]));
  const weights = formatCount(model.trainableParameters, 'weight');
  printer.line(`lockstep ${lockstepVersion} · ${layout.graph.name}, ${weights} · images: ${dataset}`);
  printer.line(
    `${formatCount(totalSteps, 'step')} of ${formatCount(config.batchSize, 'image')} in ` +
      `${formatCount(config.slices, 'slice')}, ${formatCount(stepsPerEpoch, 'step')} per epoch` +
      `${config.localSteps === 1 ? '' : `, ${config.localSteps} local steps per round`} · run directory: ${runDirectory}`,
  );
}

function showEvents({ events, totalSteps }: Coordinator, printer: RateLimitedPrinter): void {
  events.on('resumed', ({ step, path }) => printer.line(`resumed after step ${step} of ${totalSteps}, from ${path}`));
  events.on('partial-weights', (event) => printer.warning(partialWeightsLine(event)));
  events.on('waiting', ({ workers, needed }) => printer.line(`waiting for workers: ${workers} of ${needed} connected`));
  events.on('worker-joined', (event) => printer.line(joinedLine(event)));
  events.on('relay-joined', ({ name }) => printer.line(`relay ${name} connected`));
  events.on('relay-lost', ({ name, reason }) => printer.line(`relay ${name} disconnected (${reason})`));
  events.on('measuring-engines', ({ engines, workers }) =>
    printer.line(`measuring ${engines.join(', ')} on ${formatCount(workers, 'worker')}`),
  );
  events.on('engine-chosen', (event) => printer.line(engineLine(event)));
  events.on('worker-lost', (event) => printer.line(lostLine(event)));
  events.on('slices-reassigned', ({ step, slices }) =>
    printer.line(`step ${step}: ${formatCount(slices, 'slice')} reassigned to other workers`),
  );
  events.on('straggler', ({ step, name, slices, speculative }) =>
    printer.line(
      `step ${step}: ${name} is slow: ${formatCount(slices, 'slice')} also computed by ${speculative.join(', ')}`,
    ),
  );
  events.on('inexact', (event) => printer.line(`warning: ${inexactLine(event)}`));
  events.on('operated', ({ action, detail }) => printer.line(`${operatorWords[action]} ${detail}`));
  events.on('timeline', ({ file, from, to }) =>
    printer.line(`wrote the timeline of steps ${from} to ${to} to ${file} (open it at ui.perfetto.dev)`),
  );
  events.on('access', ({ message }) => printer.line(`access: ${message}`));
  events.on('test', (metrics) => printer.line(testLine(metrics)));
}

function showSteps(run: Coordinator, printer: RateLimitedPrinter): void {
  const { config, events, totalSteps, stepsPerEpoch } = run;
  const epochs = Math.ceil(totalSteps / stepsPerEpoch);
  let means = new EpochMeans();
  let epochParts: string[] = [];
  events.on('step', (event) => {
    const { step, epoch, learningRate } = event;
    means.add(event);
    epochParts = [
      `epoch ${epoch}/${epochs}`,
      `step ${step}/${totalSteps}`,
      `loss ${means.of('loss').toFixed(4)}`,
      `accuracy ${means.of('accuracy').toFixed(4)}`,
      `rate ${formatLearningRate(learningRate)}`,
      `${means.of('imagesPerSecond').toFixed(0)} images/s`,
    ];
    printer.progress([...epochParts, formatTimeLeft(run.status().run.secondsLeft)], leastImportantFirst);
    if (step % stepsPerEpoch === 0 || step === totalSteps) {
      means = new EpochMeans();
      if (config.validationSplit === 0) printer.line(epochParts.join(' · '));
    }
  });
  events.on('validation', ({ loss, accuracy }) =>
    printer.line([...epochParts, `validation loss ${loss.toFixed(4)}, accuracy ${accuracy.toFixed(4)}`].join(' · ')),
  );
}

type Quantity = 'loss' | 'accuracy' | 'imagesPerSecond';

/** Means over the steps of an epoch. */
class EpochMeans {
  readonly #sums = { loss: 0, accuracy: 0, imagesPerSecond: 0 };
  #steps = 0;

  add(step: Pick<RunEventOf<'step'>, Quantity>): void {
    this.#steps++;
    for (const quantity of ['loss', 'accuracy', 'imagesPerSecond'] as const) this.#sums[quantity] += step[quantity];
  }

  of(quantity: Quantity): number {
    return this.#sums[quantity] / this.#steps;
  }
}

export function joinedLine({
  name,
  fingerprint,
  relay,
  workers,
}: Pick<RunEventOf<'worker-joined'>, 'name' | 'fingerprint' | 'relay' | 'workers'>): string {
  const place = relay === undefined ? '' : ` behind ${relay}`;
  return `${name} joined${place} (${fingerprint}), ${formatCount(workers, 'worker')} now`;
}

/** Tells which engine was chosen and, if the workers measured several, why. */
function partialWeightsLine({ path, loaded, missing, unused }: RunEventOf<'partial-weights'>): string {
  const named = (names: readonly string[]) =>
    names.length <= 10 ? names.join(', ') : `${names.slice(0, 10).join(', ')} and ${names.length - 10} more`;
  return [
    `${formatCount(loaded, 'array')} loaded from ${path}`,
    ...(missing.length === 0
      ? []
      : [`initialized, because the file has none of this name and shape: ${named(missing)}`]),
    ...(unused.length === 0 ? [] : [`not used: ${named(unused)}`]),
  ].join('; ');
}

function engineLine({ engine, fingerprint, candidates, workersWithout }: RunEventOf<'engine-chosen'>): string {
  const isMeasured = candidates.some(({ imagesPerSecond }) => imagesPerSecond > 0);
  const speeds = candidates.map(
    (candidate) =>
      `${candidate.engine} ${candidate.imagesPerSecond.toFixed(0)} images/s on ${formatCount(candidate.workers, 'worker')}`,
  );
  const without = workersWithout.length === 0 ? '' : `; not offered by ${workersWithout.join(', ')}`;
  return `engine: ${isMeasured ? `${engine} (${speeds.join(', ')})` : fingerprint}${without}`;
}

export function lostLine({ name, reason, workers }: { name: string; reason: string; workers: number }): string {
  return `${name} disconnected (${reason}), ${formatCount(workers, 'worker')} left`;
}

/** Explains the effect of different engines in one run, and how to prevent it. */
export function inexactLine({ name, fingerprint, expected, exactAsProbed }: RunEventOf<'inexact'>): string {
  if (exactAsProbed) {
    return (
      `${name} computed the same probe as the run's engine, but hides which device it has (${fingerprint}): the report will say ` +
      'that the run is exact as probed (--exact refuses such workers)'
    );
  }
  const wasm = expected.startsWith('wasm/') ? '; workers with --engine wasm always match' : '';
  return (
    `${name} uses ${fingerprint}, but the run uses ${expected}: from now on the weights depend on which ` +
    `worker computes what (--exact refuses such workers${wasm})`
  );
}

export function testLine({ loss, accuracy }: Metrics): string {
  return `Test loss: ${loss.toFixed(4)} / Test accuracy: ${accuracy.toFixed(4)}`;
}

export function weightsLine({
  exact,
  exactAsProbed,
  weightsSha256,
}: Pick<Report, 'exact' | 'exactAsProbed' | 'weightsSha256'>): string {
  const exactness = exact
    ? 'exact'
    : exactAsProbed
      ? 'exact as probed: all workers computed the same probe, but some hide which device they have'
      : 'not exact: workers used different engines, or the run was resumed with --override';
  return `weights ${weightsSha256} (${exactness})`;
}

/** Prints the last lines of a finished run, after the test result. */
export function showReport(
  report: Report,
  { runDirectory, config }: Pick<Coordinator, 'runDirectory' | 'config'>,
  printer: RateLimitedPrinter,
): void {
  const { imagesSeen, imagesPerSecond, wallSeconds, phases } = report;
  printer.line(
    weightsLine(report),
    `${formatCount(imagesSeen, 'training image')} at ${imagesPerSecond.toFixed(0)} images/s; total time ` +
      formatDuration(1000 * wallSeconds),
    `mean ${config.localSteps === 1 ? 'step' : 'round'} ${phases.step.toFixed(1)} ms: ${describePhases(phases)}`,
    `report and checkpoints: ${runDirectory}`,
  );
}

const phaseWords: Record<Exclude<keyof StepPhases, 'step'>, string> = {
  waitForWeights: 'wait for weights',
  augment: 'augment',
  compute: 'compute',
  add: 'add slices',
  send: 'send',
  reduce: 'reduce',
  update: 'update',
};

/** Lists the milliseconds of each phase and its share of the step. */
function describePhases(phases: StepPhases): string {
  return phaseNames
    .filter((name) => name !== 'step')
    .map((name) => {
      const share = formatPercent(phases[name] / Math.max(phases.step, 1e-9), 1);
      return `${phaseWords[name]} ${phases[name].toFixed(1)} ms (${share})`;
    })
    .join(', ');
}
