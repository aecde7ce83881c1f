// lockstep train: trains on this machine, with a coordinator and worker processes.
import type { Command } from 'commander';
import { train } from '../../single-node/train.js';
import { describeWorkerExit } from '../../single-node/worker-processes.js';
import {
  addEngineOptions,
  gpusOption,
  readEngineSettings,
  type EngineSettingValues,
} from '../options/engine-options.js';
import { addServerTokenOptions, readServerTokens } from '../options/access-options.js';
import { portOption, workersOption } from '../options/number-options.js';
import { datasetHandlers, readView } from '../output/run-view.js';
import { follow } from './follow.js';
import { addRunOptions, readRunOptions, type RunOptionValues } from './run-options.js';

interface TrainOptionValues extends RunOptionValues, EngineSettingValues {
  workers?: number;
  gpus?: string;
  port?: number;
}

export function configure(command: Command): void {
  command
    .description('Train on this machine: starts a coordinator and worker processes that connect to it over loopback.')
    .optionsGroup('Workers:')
    .addOption(
      workersOption(
        'number of worker processes (default: one per CPU core, at most one per slice; one with --engine webgpu)',
      ),
    )
    .addOption(gpusOption())
    .addOption(portOption('port of the coordinator and its dashboard (default: any free port)'));
  addRunOptions(addServerTokenOptions(addEngineOptions(command))).action(async (options: TrainOptionValues) => {
    const { workers, gpus, port = 0, open = false } = options;
    const settings = readEngineSettings(options);
    const tokens = readServerTokens(command);
    const view = readView(options);
    const input = { ...(await readRunOptions(options)), ...datasetHandlers(view) };
    const run = await train({ ...input, ...tokens, workers, gpus, ...settings, port });
    run.processes.on('workerExited', (exit) => view.event('worker-exited', describeWorkerExit(exit)));
    await follow(run, view, { open, kill: () => run.kill() });
  });
}
