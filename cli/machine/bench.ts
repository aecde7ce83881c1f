// lockstep bench: how many images a second whole training steps take here, and where the time goes.
import { Option, type Command } from 'commander';
import { configFields } from '../../shared/config/config-fields.js';
import { kebabCase, resolveConfig, type Config, type ConfigKey } from '../../shared/config/config.js';
import { LockstepError } from '../../shared/errors.js';
import { layoutModel } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import { startEnvironment } from '../../worker/engines/registry.js';
import { chooseGpus, listGpus } from '../../worker/gpus.js';
import { benchCluster } from './bench/cluster.js';
import type { BenchOptions, LayerTime, Measurement } from './bench/measurement.js';
import { benchThisProcess } from './bench/this-process.js';
import { numberOrText, parseWholeNumber, readConfig } from '../options/config-options.js';
import { addEngineOptions, readEngineOptions } from '../options/engine-options.js';
import { exitWithParent, runAgainWith, isSupervised } from '../process/own-process.js';
import { countOf, RateLimitedPrinter, nowhere, standardOutput } from '../output/line-writer.js';

/** The fields of the recipe that the speed depends on. */
const recipeKeys = ['batchSize', 'slices', 'depth', 'initialFilters', 'shortcut'] as const satisfies ConfigKey[];

const defaultRounds = 5;
/** With the warm-up and a start the defaults take about ten seconds. */
const defaultSeconds = 1.5;

export function addBenchCommand(program: Command): void {
  const command = addEngineOptions(
    program
      .command('bench')
      .description('measure whole training steps: augmentation, gradients, sums, update; drawn images, no network'),
  )
    .option('--workers <N>', 'measure a cluster of so many worker processes over loopback instead')
    .addOption(
      new Option('--gpus <LIST>', 'measure a cluster of one worker a GPU instead: all, or numbers such as 0,1'),
    );
  for (const key of recipeKeys) {
    const { help, placeholder, default: fallback } = configFields[key];
    command.addOption(new Option(`--${kebabCase(key)} <${placeholder}>`, `${help} (default: ${String(fallback)})`));
  }
  command
    .option('--rounds <N>', 'measured rounds, of which the median counts', String(defaultRounds))
    .option('--seconds <S>', 'least length of a round, in seconds, and of the warm-up', String(defaultSeconds))
    .option('--json', 'print one line of JSON and nothing else')
    .action(async ({ json, ...options }: Record<string, string | undefined> & { json?: true }) => {
      const { gpus, rounds = '', seconds = '' } = options;
      const workerCount = countWorkers(options);
      const config = resolveConfig(await readConfig(options));
      const plan = {
        rounds: parseWholeNumber('--rounds', rounds, 1, 1000),
        roundMs: 1000 * parseSeconds('--seconds', seconds),
      };
      const engineChoice = await readEngineOptions(options);
      if (isSupervised()) exitWithParent();
      else if (workerCount === undefined) {
        const environment = await startEnvironment(engineChoice.engine);
        if (Object.keys(environment).length > 0) return runAgainWith(environment);
      }
      const writer = new RateLimitedPrinter(json ? nowhere : standardOutput);
      const benchOptions: BenchOptions = {
        ...engineChoice,
        config,
        plan,
        onRound: (round) => {
          if (writer.isTerminal) writer.live([`round ${round} of ${plan.rounds}`]);
        },
      };
      writer.line(describeSubject(config));
      const measurement =
        workerCount === undefined
          ? await benchThisProcess(benchOptions)
          : await benchCluster({ ...benchOptions, workers: workerCount, gpus });
      if (json) standardOutput.write(`${JSON.stringify(measurement, roundedNumber)}\n`);
      else for (const line of describeMeasurement(measurement)) writer.line(line);
    });
}

/** Undefined for a measurement in this process. Throws `bad-option` for GPUs that are not there, or for both options at once. */
function countWorkers({ workers, gpus }: { workers?: string; gpus?: string }): number | undefined {
  if (workers !== undefined && gpus !== undefined) {
    throw new LockstepError(
      'bad-option',
      `--gpus ${gpus} and --workers ${workers}: give one, as every GPU has one worker`,
    );
  }
  if (gpus !== undefined) return chooseGpus(gpus, listGpus()).length;
  return workers === undefined ? undefined : parseWholeNumber('--workers', workers, 1, 4096);
}

function parseSeconds(flag: string, text: string): number {
  const seconds = numberOrText(text);
  if (typeof seconds === 'number' && seconds > 0 && seconds <= 3600) return seconds;
  throw new LockstepError(
    'bad-option',
    `${flag} is ${JSON.stringify(text)}: it must be a number of seconds above 0 and up to 3600`,
  );
}

/** A thousandth of a millisecond is as fine as the clock. */
function roundedNumber(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toFixed(3)) : value;
}

function describeSubject(config: Config): string {
  const { depth, initialFilters, shortcut, batchSize, slices } = config;
  const weights = layoutModel(config).trainableSize.toLocaleString('en-US');
  return (
    `lockstep ${lockstepVersion} · ResNet-${depth}, ${initialFilters} filters, ${shortcut} shortcuts, ${weights} weights · ` +
    `batches of ${batchSize} in ${countOf(slices, 'slice')}`
  );
}

function describeMeasurement(measurement: Measurement): string[] {
  const { fingerprint, engineChoice, threads, workers, imagesPerSecond, roundsImagesPerSecond, phases } = measurement;
  const where =
    workers === 0
      ? `${countOf(threads, 'thread')} in this process`
      : `${countOf(workers, 'worker')} of ${countOf(threads, 'thread')} each, over loopback`;
  const { step = 0, ...parts } = phases;
  const shares = Object.entries(parts).map(([phase, ms]) => `${phaseWords[phase] ?? phase} ${percent(ms, step)}`);
  const lines = [
    `${fingerprint} · ${where}`,
    ...(engineChoice === undefined ? [] : [`engine: ${engineChoice}`]),
    `${imagesPerSecond.toFixed(1)} images/s: the median of ${countOf(roundsImagesPerSecond.length, 'round')}, which were ` +
      `${Math.min(...roundsImagesPerSecond).toFixed(1)} to ${Math.max(...roundsImagesPerSecond).toFixed(1)}`,
    `a step of ${step.toFixed(1)} ms: ${shares.join(', ')}`,
    `not compute: ${percent(measurement.notComputeShare, 1)} of a step`,
  ];
  return measurement.profile === undefined ? lines : [...lines, '', ...profileTable(measurement.profile)];
}

/** Phases whose name in code is not a word. */
const phaseWords: Readonly<Record<string, string>> = {
  waitForWeights: 'wait for weights',
  setWeights: 'set weights',
};

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)}%`;
}

/** Kinds of work down, groups of layers across, with both sums and their shares. */
function profileTable(profile: readonly LayerTime[]): string[] {
  const groups = [...new Set(profile.map(({ group }) => group))];
  const kinds = [...new Set(profile.map(({ phase }) => phase))];
  const sumOf = (cells: readonly LayerTime[]) => cells.reduce((sum, { ms }) => sum + ms, 0);
  const whole = sumOf(profile);
  const row = (name: string, cells: readonly LayerTime[]) => {
    const perGroup = groups.map((group) => sumOf(cells.filter((cell) => cell.group === group)));
    const sum = sumOf(cells);
    return [name, ...perGroup.map((ms) => ms.toFixed(1)), sum.toFixed(1), percent(sum, whole)];
  };
  const rows = [
    ['ms a step, by layers', ...groups, 'sum', 'share'],
    ...kinds.map((kind) =>
      row(
        kind,
        profile.filter(({ phase }) => phase === kind),
      ),
    ),
    row('sum', profile),
    ['share', ...groups.map((group) => percent(sumOf(profile.filter((cell) => cell.group === group)), whole)), '', ''],
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}
