// lockstep bench: measures the throughput of complete training steps, and how their time is spent.
import { Option, type Command } from 'commander';
import { resolveConfig, type Config, type ConfigKey } from '../../shared/config/config.js';
import { LockstepError } from '../../shared/errors.js';
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { graphOf } from '../../shared/config/network-config.js';
import { layoutNetwork } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import { startEnvironment } from '../../worker/engines/registry.js';
import { devicesFor } from '../../single-node/worker-processes.js';
import { benchCluster } from './bench/cluster.js';
import { defaultImageShape, parseImageShape, type ImageShape } from './bench/bench-images.js';
import type { BenchOptions, LayerTime, Measurement } from './bench/measurement.js';
import { benchThisProcess } from './bench/this-process.js';
import { addConfigOption, readConfig } from '../options/config-options.js';
import {
  addEngineOptions,
  engineOption,
  readEngineOptions,
  type EngineOptionValues,
} from '../options/engine-options.js';
import { numberOption, wholeNumberOption, workersOption } from '../options/number-options.js';
import { exitWithParent, rerunWith, isSupervised } from '../process/own-process.js';
import { formatCount, formatPercent, roundToThousandths } from '../output/format.js';
import { noOutput, RateLimitedPrinter, standardOutput, writeJsonLine } from '../output/printer.js';
import { formatTable } from '../output/table.js';

/** Configuration fields that affect the speed. */
const speedKeys = [
  'batchSize',
  'slices',
  'network',
  'depth',
  'initialFilters',
  'shortcut',
] as const satisfies ConfigKey[];

interface BenchOptionValues extends EngineOptionValues {
  workers?: number;
  gpus?: string;
  imageShape: ImageShape;
  rounds: number;
  seconds: number;
  profile?: true;
  json?: true;
}

export function configure(command: Command): void {
  command
    .description(
      'Measure complete training steps on synthetic images: augmentation, gradients, their sum and the optimizer update. By ' +
        'default, one worker is measured in this process, without network communication.',
    )
    .optionsGroup('Measurement:')
    .addOption(workersOption('measure a cluster of N worker processes over loopback instead'))
    .addOption(
      new Option(
        '--gpus <LIST>',
        'measure a cluster with one worker process per GPU instead: all, or numbers such as 0,1',
      ),
    )
    .addOption(wholeNumberOption('--rounds <N>', 'number of rounds; the result is the median', 1, 1000).default(5))
    .addOption(
      numberOption(
        '--seconds <S>',
        'minimum duration of a round, and of the warm-up',
        (seconds) => seconds > 0 && seconds <= 3600,
        'a number of seconds above 0 and up to 3600',
      ).default(1.5),
    )
    .addOption(
      new Option('--image-shape <SHAPE>', 'height, width and channels of the images')
        .argParser(imageShapeOf)
        .default(defaultImageShape, '32x32x3'),
    )
    .option('--profile', 'also measure the time of each group of layers, and what a step asks of a GPU')
    .option('--json', 'print one line of JSON and nothing else')
    .optionsGroup('Recipe:');
  for (const key of speedKeys) addConfigOption(command, key);
  addEngineOptions(command, engineOption('auto', 'the fastest one here, which is measured first')).action(runBench);
}

async function runBench(options: BenchOptionValues): Promise<void> {
  const { gpus, imageShape, rounds, seconds, profile = false, json } = options;
  const workerCount = await countWorkers(options);
  if (profile && workerCount !== undefined) {
    throw new LockstepError('bad-option', '--profile measures one worker in this process: omit --workers and --gpus');
  }
  const config = resolveConfig(await readConfig({ ...options }));
  const engineChoice = await readEngineOptions(options);
  if (isSupervised()) exitWithParent();
  else if (workerCount === undefined) {
    const environment = await startEnvironment(engineChoice.engine);
    if (Object.keys(environment).length > 0) return rerunWith(environment);
  }
  const printer = new RateLimitedPrinter(json ? noOutput : standardOutput);
  const benchOptions: BenchOptions = {
    ...engineChoice,
    config,
    imageShape,
    plan: { rounds, roundMs: 1000 * seconds },
    onMessage: (message) => printer.line(message),
    onRound: (round) => printer.live([`round ${round} of ${rounds}`]),
  };
  printer.line(describeSubject(config, imageShape));
  const measurement =
    workerCount === undefined
      ? await benchThisProcess(benchOptions, profile)
      : await benchCluster({ ...benchOptions, workers: workerCount, gpus });
  if (json) writeJsonLine(standardOutput, measurement, roundToThousandths);
  else printer.line(...describeMeasurement(measurement));
}

/**
 * Returns the number of worker processes, or undefined to measure in this process. Throws `bad-option` for GPUs that do
 * not exist, or if both options are given.
 */
async function countWorkers({ workers, gpus, engine }: BenchOptionValues): Promise<number | undefined> {
  if (gpus === undefined) return workers;
  if (workers === undefined) return (await devicesFor({ engine, gpus })).length;
  throw new LockstepError(
    'bad-option',
    `--gpus is ${gpus} and --workers is ${workers}: give only one, as each GPU has one worker`,
  );
}

function imageShapeOf(text: string): ImageShape {
  const shape = parseImageShape(text);
  if (shape !== undefined) return shape;
  throw new LockstepError(
    'bad-option',
    `--image-shape is ${text}: it must be height x width x channels, such as 224x224x3 or 28x28x1, up to 224x224`,
  );
}

function describeSubject(config: Config, imageShape: ImageShape): string {
  const { batchSize, slices } = config;
  const { graph, weightsSize } = layoutNetwork(graphOf(config), {
    ...imageShape,
    classCount: cifar10Format.classCount,
  });
  return (
    `lockstep ${lockstepVersion} · ${graph.name}, ${formatCount(weightsSize, 'weight')} · ` +
    `batches of ${batchSize} in ${formatCount(slices, 'slice')}`
  );
}

function describeMeasurement(measurement: Measurement): string[] {
  const { engine, fingerprint, engineSpeeds, threads, workers, imagesPerSecond, roundsImagesPerSecond, phases } =
    measurement;
  const where =
    workers === 0
      ? `${formatCount(threads, 'thread')} in this process`
      : `${formatCount(workers, 'worker')} with ${formatCount(threads, 'thread')} each, over loopback`;
  const { step = 0, ...parts } = phases;
  const shares = Object.entries(parts).map(
    ([phase, ms]) => `${phaseWords[phase] ?? phase} ${formatPercent(ms / step, 1)}`,
  );
  const lines = [
    `${fingerprint} · ${where}`,
    ...(engineSpeeds === undefined ? [] : [`auto chose ${engine}, the fastest here: ${describeSpeeds(engineSpeeds)}`]),
    `${imagesPerSecond.toFixed(1)} images/s (median of ${formatCount(roundsImagesPerSecond.length, 'round')}, ` +
      `${Math.min(...roundsImagesPerSecond).toFixed(1)} to ${Math.max(...roundsImagesPerSecond).toFixed(1)})`,
    `mean step ${step.toFixed(1)} ms: ${shares.join(', ')}`,
    `not spent computing: ${formatPercent(measurement.notComputeShare, 1)} of a step`,
  ];
  const { profile } = measurement;
  return profile === undefined ? lines : [...lines, '', ...profileTable(profile), ...deviceWork(profile)];
}

/** Returns what a step asks of a GPU, if the engine counts it. */
function deviceWork(profile: readonly LayerTime[]): string[] {
  const sumOf = (key: 'dispatches' | 'bytes') => profile.reduce((sum, cell) => sum + (cell[key] ?? 0), 0);
  const dispatches = sumOf('dispatches');
  if (dispatches === 0) return [];
  return [`dispatches per step: ${Math.round(dispatches)}, which bind ${(sumOf('bytes') / 1e6).toFixed(0)} MB`];
}

function describeSpeeds(speeds: NonNullable<Measurement['engineSpeeds']>): string {
  return speeds.map(({ engine, imagesPerSecond }) => `${engine} ${imagesPerSecond.toFixed(0)} images/s`).join(', ');
}

const phaseWords: Readonly<Record<string, string>> = {
  waitForWeights: 'wait for weights',
  setWeights: 'set weights',
};

/** Formats a table with phases as rows and groups of layers as columns, with their sums and shares. */
function profileTable(profile: readonly LayerTime[]): string[] {
  const groups = [...new Set(profile.map(({ group }) => group))];
  const phases = [...new Set(profile.map(({ phase }) => phase))];
  const sumOf = (cells: readonly LayerTime[]) => cells.reduce((sum, { ms }) => sum + ms, 0);
  const shareOf = (cells: readonly LayerTime[]) => formatPercent(sumOf(cells) / sumOf(profile), 1);
  const cellsOf = (key: 'group' | 'phase', value: string) => profile.filter((cell) => cell[key] === value);
  const row = (name: string, cells: readonly LayerTime[]) => {
    const perGroup = groups.map((group) => sumOf(cells.filter((cell) => cell.group === group)));
    return [name, ...[...perGroup, sumOf(cells)].map((ms) => ms.toFixed(1)), shareOf(cells)];
  };
  return formatTable([
    ['ms per step', ...groups, 'sum', 'share'],
    ...phases.map((phase) => row(phase, cellsOf('phase', phase))),
    row('sum', profile),
    ['share', ...groups.map((group) => shareOf(cellsOf('group', group))), '', ''],
  ]);
}
