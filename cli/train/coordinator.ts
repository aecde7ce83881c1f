// lockstep coordinator: waits for workers on one or more machines and trains with them.
import type { Command } from 'commander';
import { startCoordinator } from '../../coordinator/main.js';
import { defaultPort } from '../../coordinator/connections/access-policy.js';
import { addServerAccessOptions, readServerOptions, waitTimeoutOption } from '../options/access-options.js';
import { portOption, wholeNumberOption } from '../options/number-options.js';
import { datasetHandlers, readView } from '../output/run-view.js';
import { follow } from './follow.js';
import { addRunOptions, readRunOptions, type RunOptionValues } from './run-options.js';
import { describeListening } from './worker-command.js';

interface CoordinatorOptionValues extends RunOptionValues {
  minWorkers: number;
  pauseBelow: number;
}

export function configure(command: Command): void {
  command
    .description(
      'Start a coordinator and train with the workers that connect to it from this and other machines. It prints the command ' +
        'that starts a worker. Workers may join and leave at any time; this does not change the trained weights.',
    )
    .optionsGroup('Workers:')
    .option(
      '--host <ADDRESS>',
      'address to listen on; 0.0.0.0 for all IPv4 interfaces. Anything but a loopback address requires a token',
      '127.0.0.1',
    )
    .addOption(portOption('port to listen on; 0 for any free port').default(defaultPort))
    .addOption(minimumOption('--min-workers <N>', 'number of workers to wait for before the first step'))
    .addOption(
      minimumOption(
        '--pause-below <N>',
        'after the first step, pause the run while fewer workers than this are connected',
      ),
    )
    .addOption(waitTimeoutOption('save a checkpoint and exit with status 3 after waiting this long for workers'));
  addRunOptions(addServerAccessOptions(command)).action(async (options: CoordinatorOptionValues) => {
    const { minWorkers, pauseBelow, open = false } = options;
    const server = readServerOptions(command);
    const view = readView(options);
    const input = { ...(await readRunOptions(options)), ...datasetHandlers(view) };
    const run = await startCoordinator({ ...input, ...server, minWorkers, pauseBelow });
    for (const line of describeListening(run, server)) view.line(line);
    await follow(run, view, { open });
  });
}

function minimumOption(flags: string, description: string) {
  return wholeNumberOption(flags, description, 1, 4096).default(1);
}
