// lockstep chaos: trains twice, first without and then with faults, and compares the weights.
import path from 'node:path';
import type { Command } from 'commander';
import { resolveConfig, type Config } from '../../shared/config/config.js';
import { readDataset } from '../../datasets/read-dataset.js';
import { readOptionsOf } from '../../datasets/read-options.js';
import type { Dataset } from '../../shared/dataset/description.js';
import { recordFormatOf } from '../../shared/dataset/record-format.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { LockstepError } from '../../shared/errors.js';
import { graphOf } from '../../shared/config/network-config.js';
import { layoutNetwork } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import { planWorkers } from '../../single-node/worker-processes.js';
import { planFaults } from './chaos/fault-plan.js';
import { runWithFaults, type RunSetup } from './chaos/faulted-run.js';
import { describeReport, reportOf, type ChaosReport } from './chaos/report.js';
import { addConfigOptions, readConfig } from '../options/config-options.js';
import {
  addEngineOptions,
  gpusOption,
  readEngineOptions,
  type EngineSettingValues,
} from '../options/engine-options.js';
import { wholeNumberOption, workersOption } from '../options/number-options.js';
import { formatCount, formatDuration, formatLatency, roundToThousandths } from '../output/format.js';
import { noOutput, RateLimitedPrinter, standardOutput, writeJsonLine } from '../output/printer.js';
import { interruptedBy, onStopSignals } from '../process/stop-signals.js';
import { withTemporaryFolder } from '../process/temporary-folder.js';

const defaultSteps = 80;
const defaultWorkers = 3;
/**
 * Heartbeat timeout in seconds, half of that of other commands. The coordinator notices a frozen or stalled worker only
 * after this time, and such faults would otherwise take up half of the run.
 */
const defaultHeartbeatTimeout = 5;
/** Minimum number of images: synthesized in half a second, and few enough for several epochs in the default steps. */
const minTrainingImages = 4_000;

interface ChaosOptionValues extends EngineSettingValues {
  workers?: number;
  gpus?: string;
  faults: number;
  json?: true;
}

export function configure(command: Command): void {
  command
    .description(
      'Check that faults do not change the weights: train twice with the same configuration, first without faults, then with ' +
        'workers that are killed, frozen, disconnected, delayed or throttled. Fails if the weights differ. The default is ' +
        `${defaultSteps} steps on synthetic images, with a heartbeat timeout of ${defaultHeartbeatTimeout} seconds.`,
    )
    .option('--json', 'print one line of JSON and nothing else')
    .optionsGroup('Workers and faults:')
    .addOption(workersOption(`number of worker processes (default: ${defaultWorkers})`, 64))
    .addOption(gpusOption())
    .addOption(
      wholeNumberOption('--faults <N>', 'number of faults; --seed decides which, when and where', 0, 10_000).default(
        32,
      ),
    );
  addConfigOptions(addEngineOptions(command)).action(async (options: ChaosOptionValues) => {
    const { json, faults, workers, gpus } = options;
    const input = await readConfig({ ...options });
    const config = resolveConfig({
      ...input,
      steps: input.steps ?? (input.epochs ? null : defaultSteps),
      heartbeatTimeout: input.heartbeatTimeout ?? defaultHeartbeatTimeout,
    });
    const engine = await readEngineOptions({ ...options, engine: config.engine });
    const plans = await planWorkers({ engine: engine.engine, gpus, workers, defaultWorkers });
    const printer = new RateLimitedPrinter(json ? noOutput : standardOutput);
    const report = await withStopSignals((signal) =>
      withRunFolder(config, async (folder) => {
        const setup = { config, dataset: await datasetOf(config), runDir: folder, workers: plans, engine, signal };
        return compareRuns(setup, faults, printer);
      }),
    );
    if (json) writeJsonLine(standardOutput, report, roundToThousandths);
    if (report.same) return;
    throw new LockstepError(
      'bits-differ',
      `the weights differ: ${report.hashQuiet} without faults, ${report.hashFaulted} with faults (--seed ${report.seed})`,
    );
  });
}

/** Trains without and with faults, and compares the weights. Throws the same errors as runWithFaults. */
async function compareRuns(
  setup: Omit<RunSetup, 'onProgress'>,
  faultCount: number,
  printer: RateLimitedPrinter,
): Promise<ChaosReport> {
  const { config, dataset, workers } = setup;
  const setupOf = (name: string): RunSetup => ({
    ...setup,
    runDir: path.join(setup.runDir, name),
    onProgress: ({ step, steps, injected, workers: connected }) => {
      const faults = name === 'quiet' ? [] : [`${injected} of ${formatCount(faultCount, 'fault')}`];
      printer.live([`${name} run`, `step ${step}/${steps}`, ...faults, formatCount(connected, 'worker')]);
    },
  });
  printer.line(describeSubject(config, workers.length, dataset));
  const quiet = await runWithFaults(setupOf('quiet'));
  const { wallSeconds, stepMs, sliceMs } = quiet.measured;
  printer.line(
    `without faults: ${formatDuration(1000 * wallSeconds)}, median step ${formatLatency(stepMs?.median)}, ` +
      `median slice ${formatLatency(sliceMs?.median)} · weights ${quiet.weightsSha256}`,
  );
  const plan = planFaults({
    seed: config.seed,
    faults: faultCount,
    workers: workers.length,
    steps: quiet.steps,
    validationSteps: quiet.validationSteps,
    heartbeatTimeoutMs: 1000 * config.heartbeatTimeout,
    canFreeze: process.platform !== 'win32',
  });
  const sameEngine = { ...config, fingerprint: quiet.fingerprint };
  const faulted = await runWithFaults({ ...setupOf('faulted'), config: sameEngine }, plan, sliceMs?.median);
  const report = reportOf(quiet, faulted, config.seed, workers.length);
  printer.line(...describeReport(report));
  return report;
}

/** Loads the dataset in `data`, or synthesizes images if it is null. */
async function datasetOf(config: Config): Promise<Dataset> {
  const { data, batchSize } = config;
  if (data !== null) return readDataset(data, readOptionsOf(config, {}));
  return synthesizeDataset({ trainingImages: Math.max(minTrainingImages, 16 * batchSize), testImages: 500 });
}

function describeSubject(config: Config, workers: number, dataset: Dataset): string {
  const { graph, weightsSize } = layoutNetwork(graphOf(config), recordFormatOf(dataset.description));
  const length = config.steps === null ? formatCount(config.epochs ?? 0, 'epoch') : formatCount(config.steps, 'step');
  return (
    `lockstep ${lockstepVersion} · ${graph.name}, ${formatCount(weightsSize, 'weight')} · ${length} of ${config.batchSize} images in ` +
    `${formatCount(config.slices, 'slice')} · ${formatCount(workers, 'worker')} · images: ${dataset.source}`
  );
}

/** Uses the folder given with --run-dir, or else a temporary folder that is removed afterward. */
async function withRunFolder<Result>({ runDir }: Config, use: (folder: string) => Promise<Result>): Promise<Result> {
  return runDir === null ? withTemporaryFolder('lockstep-chaos-', use) : use(runDir);
}

async function withStopSignals<Result>(use: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const abort = new AbortController();
  const ignoreSignals = onStopSignals((signal) => abort.abort(interruptedBy(signal)));
  try {
    return await use(abort.signal);
  } finally {
    ignoreSignals();
  }
}
