// lockstep chaos: the same run twice, quietly and under faults, and whether the weights are the same bits.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Option, type Command } from 'commander';
import { resolveConfig, totalStepsOf, type Config } from '../../shared/config/config.js';
import { loadCifar10, type Cifar10 } from '../../shared/dataset/cifar10.js';
import { stepsPerEpochOf, validationCountOf } from '../../shared/dataset/partition.js';
import { recordBytes } from '../../shared/dataset/image-batch.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { LockstepError } from '../../shared/errors.js';
import { layoutModel } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import { planWorkers } from '../../single-node/worker-processes.js';
import { describeReport, milliseconds } from './chaos/describe.js';
import { recoveryOf, type FaultRecord, type Spread } from './chaos/fault-log.js';
import { planFaults, type Fault } from './chaos/fault-plan.js';
import { runWith, type RunOutcome, type RunSetup } from './chaos/faulted-run.js';
import { addConfigOptions, parseWholeNumber, readConfig } from '../options/config-options.js';
import { addEngineOptions, gpusOption, readEngineOptions } from '../options/engine-options.js';
import { countOf, duration, RateLimitedPrinter, nowhere, standardOutput } from '../output/line-writer.js';
import { onStopSignals } from '../process/stop-signals.js';

const defaultSteps = 80;
const defaultFaults = 32;
const defaultWorkers = 3;
/** Half of what a run has unless told otherwise: faults that outlast it should not take half of the time. */
const defaultHeartbeatTimeout = 5;
/** Drawn in half a second; with the default batch four validations in the default number of steps. */
const syntheticImages = 4_000;

type Measured = Omit<RunOutcome, 'steps' | 'faults' | 'missed' | 'unexplained' | 'weightsSha256'>;

/** What `--json` prints. Milliseconds, but where the name says otherwise. */
export interface ChaosReport {
  lockstepVersion: string;
  seed: number;
  steps: number;
  workers: number;
  hashQuiet: string;
  hashFaulted: string;
  same: boolean;
  /** From SIGKILL to the running step's completion: see recoveryOf. */
  recoveryMs: Spread | null;
  /** The same without the time of computing again what was lost. */
  beyondMs: Spread | null;
  quiet: Measured;
  faulted: Measured;
  faults: readonly FaultRecord[];
  missed: number;
  unexplained: RunOutcome['unexplained'];
}

export function addChaosCommand(program: Command): void {
  addConfigOptions(
    addEngineOptions(
      program
        .command('chaos')
        .description('train twice, quietly and under faults (killed, frozen, cut, late, slow), and compare the weights')
        .option('--workers <N>', `worker processes (default: ${defaultWorkers})`)
        .addOption(gpusOption())
        .option('--faults <K>', 'faults; which, when and whom follows from --seed', String(defaultFaults))
        .addOption(new Option('--json', 'print one line of JSON and nothing else')),
    ),
  ).action(async ({ json, ...options }: Record<string, string | undefined> & { json?: true }) => {
    const { workers, faults = '', gpus } = options;
    const given = await readConfig(options);
    const config = resolveConfig({
      ...given,
      steps: given.steps ?? (given.epochs ? null : defaultSteps),
      heartbeatTimeout: given.heartbeatTimeout ?? defaultHeartbeatTimeout,
    });
    const writer = new RateLimitedPrinter(json ? nowhere : standardOutput);
    const engine = await readEngineOptions(options);
    const plans = await planWorkers({
      engine: engine.engine,
      gpus,
      workers: workers === undefined ? undefined : parseWholeNumber('--workers', workers, 1, 64),
      defaultWorkers,
    });
    const report = await withStopOnSignals((signal) =>
      inFolder(config, (folder) =>
        shake(
          {
            config,
            workers: plans,
            engine,
            signal,
            folder,
            faultCount: parseWholeNumber('--faults', faults, 0, 10_000),
          },
          writer,
        ),
      ),
    );
    if (json) standardOutput.write(`${JSON.stringify(report, roundedNumber)}\n`);
    if (!report.same) {
      throw new LockstepError(
        'bits-differ',
        `the weights differ: ${report.hashQuiet} quietly, ${report.hashFaulted} under faults (--seed ${report.seed})`,
      );
    }
  });
}

export interface ChaosOptions extends Pick<RunSetup, 'workers' | 'engine' | 'signal'> {
  config: Config;
  faultCount: number;
  /** Where both runs are written. */
  folder: string;
}

/** Both runs. Throws as runWith does. */
async function shake(options: ChaosOptions, writer: RateLimitedPrinter): Promise<ChaosReport> {
  const { config, workers, engine, signal, folder, faultCount } = options;
  const dataset = await datasetOf(config);
  writer.line(describeSubject(config, workers.length, dataset));
  const setup = (name: string): RunSetup => ({
    config,
    dataset,
    runDir: path.join(folder, name),
    workers,
    engine,
    signal,
    onProgress: ({ step, steps, struck, workers: here }) => {
      if (!writer.isTerminal) return;
      const blows = name === 'quiet' ? '' : ` · ${struck} of ${countOf(faultCount, 'fault')}`;
      writer.live([`${name} run`, `step ${step}/${steps}${blows}`, countOf(here, 'worker')]);
    },
  });
  const quiet = await runWith(setup('quiet'), [], 0);
  const sliceMs = quiet.sliceMs?.median ?? 0;
  writer.line(
    `quiet run: ${duration(1000 * quiet.wallSeconds)}, a step ${milliseconds(quiet.stepMs?.median)}, ` +
      `a slice ${milliseconds(sliceMs)} (medians) · weights ${quiet.weightsSha256}`,
  );
  const faulted = await runWith(setup('faulted'), planFor(config, dataset, workers.length, faultCount), sliceMs);
  const report = reportOf(config, quiet, faulted, workers.length);
  for (const line of describeReport(report)) writer.line(line);
  return report;
}

function planFor(config: Config, dataset: Cifar10, workers: number, faults: number): Fault[] {
  const images = dataset.training.length / recordBytes;
  const validationCount = validationCountOf(images, config.validationSplit);
  const stepsPerEpoch = stepsPerEpochOf(images - validationCount, config.batchSize);
  const steps = totalStepsOf(config, stepsPerEpoch);
  const validations = validationCount === 0 ? 0 : Math.ceil(steps / stepsPerEpoch);
  return planFaults({
    seed: config.seed,
    faults,
    workers,
    steps,
    validationSteps: Array.from({ length: validations }, (_, epoch) => Math.min(steps, (epoch + 1) * stepsPerEpoch)),
    heartbeatTimeoutMs: 1000 * config.heartbeatTimeout,
    canFreeze: process.platform !== 'win32',
  });
}

/** Drawn images unless a folder is named: the self-test needs none. */
async function datasetOf({ data, batchSize }: Config): Promise<Cifar10> {
  if (data !== null) return loadCifar10(data);
  return synthesizeDataset({ trainingImages: Math.max(syntheticImages, 16 * batchSize), testImages: 500 });
}

function reportOf(config: Config, quiet: RunOutcome, faulted: RunOutcome, workers: number): ChaosReport {
  return {
    lockstepVersion,
    seed: config.seed,
    steps: faulted.steps,
    workers,
    hashQuiet: quiet.weightsSha256,
    hashFaulted: faulted.weightsSha256,
    same: quiet.weightsSha256 === faulted.weightsSha256,
    ...recoveryOf(faulted.faults),
    quiet: measuredIn(quiet),
    faulted: measuredIn(faulted),
    faults: faulted.faults,
    missed: faulted.missed,
    unexplained: [...quiet.unexplained, ...faulted.unexplained],
  };
}

function measuredIn({ wallSeconds, stepMs, sliceMs, workersJoined, workersLost, resources }: RunOutcome): Measured {
  return { wallSeconds, stepMs, sliceMs, workersJoined, workersLost, resources };
}

function describeSubject(config: Config, workers: number, dataset: Cifar10): string {
  const weights = layoutModel(config).trainableSize.toLocaleString('en-US');
  const length = config.steps === null ? countOf(config.epochs ?? 0, 'epoch') : countOf(config.steps, 'step');
  return (
    `lockstep ${lockstepVersion} · ResNet-${config.depth}, ${weights} weights · ${length} of ${config.batchSize} images in ` +
    `${countOf(config.slices, 'slice')} · ${countOf(workers, 'worker')} · images: ${dataset.source}`
  );
}

/** The folder that was named, which keeps both runs; else one that goes afterwards. */
async function inFolder<Result>({ runDir }: Config, use: (folder: string) => Promise<Result>): Promise<Result> {
  if (runDir !== null) return use(runDir);
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-chaos-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function withStopOnSignals<Result>(use: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const abort = new AbortController();
  const ignoreSignals = onStopSignals((signal) =>
    abort.abort(new LockstepError('interrupted', `interrupted by ${signal}`)),
  );
  try {
    return await use(abort.signal);
  } finally {
    ignoreSignals();
  }
}

/** A thousandth of a millisecond is as fine as the clock. */
function roundedNumber(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toFixed(3)) : value;
}
