// lockstep evaluate: measures the loss, accuracy and confusion matrix of a checkpoint.
import { Option, type Command } from 'commander';
import { startEvaluation, type Evaluation, type EvaluationReport } from '../../coordinator/evaluation-run.js';
import type { EvaluationSplit } from '../../coordinator/dataset/shard-store.js';
import { formatOutcome } from '../../coordinator/run/evaluation-report.js';
import { defaultPort } from '../../coordinator/connections/access-policy.js';
import type { TestTimeAugmentation } from '../../shared/dataset/test-time-augmentation.js';
import { LockstepError } from '../../shared/errors.js';
import { evaluate, type LocalEvaluation } from '../../inference/evaluate.js';
import { describeWorkerExit } from '../../single-node/worker-processes.js';
import {
  addServerAccessOptions,
  readServerOptions,
  waitTimeoutOption,
  type ServerOptionValues,
} from '../options/access-options.js';
import { testTimeAugmentationOption } from '../options/config-options.js';
import { portOption, workersOption } from '../options/number-options.js';
import {
  addEngineOptions,
  engineOption,
  gpusOption,
  readEngineOptions,
  type EngineOptionValues,
} from '../options/engine-options.js';
import { formatCount, formatDuration, formatInteger, formatPercent } from '../output/format.js';
import { noOutput, RateLimitedPrinter, standardOutput } from '../output/printer.js';
import { joinedLine, lostLine } from '../output/progress.js';
import { formatTable } from '../output/table.js';
import { interruptedBy } from '../process/stop-signals.js';
import { describeListening } from '../train/worker-command.js';

/** Maximum number of classes for which all classes and the whole confusion matrix are printed. */
const maxPrintedClasses = 20;
/** Number of classes that are printed instead. */
const printedClasses = 20;
/** Number of pairs of classes that are printed instead. */
const printedPairs = 20;

const splits: EvaluationSplit[] = ['test', 'validation'];

interface EvaluateOptionValues extends EngineOptionValues, ServerOptionValues {
  split: EvaluationSplit;
  data?: string;
  augmentValidation: boolean;
  testTimeAugmentation?: TestTimeAugmentation;
  workers?: number;
  gpus?: string;
  json?: true;
}

/**
 * Configures the command. It evaluates with workers on this machine or, with --host or --port, with workers that
 * connect from other machines.
 */
export function configure(command: Command): void {
  command
    .description(
      'Measure the loss and accuracy of a checkpoint, per class and in total, and print the confusion matrix. The work is done by ' +
        'worker processes on this machine; with --host or --port, by workers that connect from other machines.',
    )
    .argument('<CHECKPOINT>', 'checkpoint, or a run directory for its latest one')
    .addOption(new Option('--split <SPLIT>', 'images to evaluate').choices(splits).default('test'))
    .option('--data <DIR>', 'folder with the images (default: the folder of the run)')
    .option('--no-augment-validation', 'use validation images as they are, even if the run augmented them')
    .addOption(testTimeAugmentationOption())
    .option('--json', 'print JSON')
    .optionsGroup('Workers on this machine:')
    .addOption(workersOption('number of worker processes (default: one per CPU core)'))
    .addOption(gpusOption());
  addEngineOptions(command, engineOption('auto', 'the first one that loads'))
    .optionsGroup('Workers on other machines:')
    .option('--host <ADDRESS>', 'address to listen on; anything but a loopback address requires a token')
    .addOption(portOption(`port to listen on (default with --host: ${defaultPort})`))
    .addOption(waitTimeoutOption('exit after waiting this long for workers'));
  addServerAccessOptions(command).action(async (checkpoint: string, options: EvaluateOptionValues) => {
    // With --json, only the result is written to stdout.
    const printer = new RateLimitedPrinter(options.json ? noOutput : standardOutput);
    const report = await follow(await start(checkpoint, options, command, printer), printer);
    if (options.json) standardOutput.write(`${formatOutcome(report)}\n`);
    else printer.line(...describeEvaluation(report));
  });
}

async function start(
  checkpoint: string,
  options: EvaluateOptionValues,
  command: Command,
  printer: RateLimitedPrinter,
): Promise<Evaluation | LocalEvaluation> {
  const { split, data, workers, gpus, host, port, waitTimeout, tlsCert, tlsKey, tlsClientCa } = options;
  const { testTimeAugmentation } = options;
  const augmentValidation = options.augmentValidation ? undefined : false;
  const common = { checkpoint, split, data, augmentValidation, testTimeAugmentation };
  if (host === undefined && port === undefined) {
    assertOmitted(
      { '--wait-timeout': waitTimeout, '--tls-cert': tlsCert, '--tls-key': tlsKey, '--tls-client-ca': tlsClientCa },
      'it is for workers on other machines, which need --host or --port',
    );
    return evaluate({ ...common, workers, gpus, ...(await readEngineOptions(options)) });
  }
  assertOmitted(
    { '--workers': workers, '--gpus': gpus },
    'with --host or --port the workers come from other machines; start them there with `lockstep worker`',
  );
  const server = readServerOptions(command);
  const evaluation = await startEvaluation({ ...common, ...server });
  evaluation.events.on('access', ({ message }) => printer.line(`access: ${message}`));
  printer.line(...describeListening(evaluation, server));
  return evaluation;
}

function assertOmitted(values: Readonly<Record<string, string | number | undefined>>, reason: string): void {
  for (const [flag, value] of Object.entries(values)) {
    if (value !== undefined) throw new LockstepError('bad-option', `${flag} is ${value}: ${reason}`);
  }
}

/** Shows an evaluation until it ends. SIGINT and SIGTERM stop it. */
async function follow(
  evaluation: Evaluation | LocalEvaluation,
  printer: RateLimitedPrinter,
): Promise<EvaluationReport> {
  const { checkpoint, split, images, events } = evaluation;
  const onSignal = (signal: NodeJS.Signals) => evaluation.stop(interruptedBy(signal));
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  printer.line(`${checkpoint.path}: step ${checkpoint.step}, ${checkpoint.layout.graph.name}`);
  printer.line(`${formatInteger(images)} ${split} images: ${evaluation.dataset}`);
  if (!evaluation.isRunsOwnSplit) {
    printer.warning(
      `these are not the ${split} images of the run, so the result cannot be compared with the run's; use --data to specify the run's images`,
    );
  }
  if ('processes' in evaluation) {
    evaluation.processes.on('workerExited', (exit) => printer.warning(describeWorkerExit(exit)));
  }
  events.on('worker-joined', (event) => printer.line(joinedLine(event)));
  events.on('worker-lost', (event) => printer.line(lostLine(event)));
  events.on('evaluation-progress', ({ done }) =>
    printer.live([`${formatInteger(done)} of ${formatInteger(images)} images`]),
  );
  try {
    return await evaluation.report;
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

function describeEvaluation(report: EvaluationReport): string[] {
  const { split, loss, accuracy, topFiveAccuracy, classes, unclassified, images, wallSeconds } = report;
  const title = split === 'test' ? 'Test' : 'Validation';
  // Columns are labeled with numbers, because class names may be long.
  const names = classes.map(({ name }, label) => `${label} ${name}`);
  return [
    '',
    ...describeClasses(report, names),
    '',
    ...describeConfusion(report, names),
    ...(unclassified > 0
      ? [`${formatCount(unclassified, 'image')} without a predicted class, because the logits are not finite`]
      : []),
    '',
    `${title} loss: ${loss.toFixed(4)} / ${title} accuracy: ${accuracy.toFixed(4)}` +
      (topFiveAccuracy === null ? '' : ` / top-5 accuracy: ${topFiveAccuracy.toFixed(4)}`),
    `${formatCount(images, 'image')} in ${formatDuration(1000 * wallSeconds)}, ${(images / wallSeconds).toFixed(0)} images/s`,
  ];
}

/** Describes each class, or for many classes those with the lowest accuracy. */
function describeClasses({ classes }: EvaluationReport, names: readonly string[]): string[] {
  const all = classes.map((result, label) => ({ ...result, name: names[label] }));
  const isComplete = classes.length <= maxPrintedClasses;
  const tested = all.flatMap((result) => (result.accuracy === null ? [] : [{ ...result, accuracy: result.accuracy }]));
  const shown = isComplete ? all : tested.toSorted((a, b) => a.accuracy - b.accuracy).slice(0, printedClasses);
  const without = classes.length - tested.length;
  return [
    ...(isComplete
      ? []
      : [
          `The ${shown.length} classes with the lowest accuracy, of ${formatInteger(classes.length)} (--json prints all):`,
        ]),
    ...formatTable([
      ['', 'images', 'correct', 'accuracy'],
      ...shown.map(({ name, images, correct, accuracy }) => [
        name,
        String(images),
        String(correct),
        accuracy === null ? '-' : formatPercent(accuracy, 1),
      ]),
    ]),
    ...(isComplete || without === 0
      ? []
      : [`${formatInteger(without)} ${without === 1 ? 'class has' : 'classes have'} no images in this split`]),
  ];
}

/** Prints the confusion matrix, or for many classes the pairs of classes that are confused most often. */
function describeConfusion({ confusion, confusions }: EvaluationReport, names: readonly string[]): string[] {
  if (confusion !== null && names.length <= maxPrintedClasses) {
    return [
      'Confusion matrix (rows: true class, columns: predicted class):',
      ...formatTable([
        [''].concat(names.map((_, label) => String(label))),
        ...confusion.map((row, label) => [names[label]].concat(row.map(String))),
      ]),
    ];
  }
  return [
    `Most frequent confusions (--json prints ${confusion === null ? 'more' : 'the whole matrix'}):`,
    ...formatTable([
      ['true class', 'predicted class', 'images'],
      ...confusions
        .slice(0, printedPairs)
        .map(({ label, predicted, images }) => [names[label], names[predicted], String(images)]),
    ]),
  ];
}
