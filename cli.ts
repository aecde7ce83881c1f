#!/usr/bin/env node
// The command line: names the commands, and turns errors into messages and exit statuses.
import { inspect } from 'node:util';
import { Command, CommanderError } from 'commander';
import { addBenchCommand } from './commands/bench.js';
import { addChaosCommand } from './commands/chaos.js';
import { addConfigCommand } from './commands/config.js';
import { addDashboardCommand } from './commands/dashboard.js';
import { addDataCommands } from './commands/data.js';
import { addDoctorCommand } from './commands/doctor.js';
import { addEvaluateCommand } from './commands/evaluate.js';
import { addExportCommand } from './commands/export.js';
import { addPlotCommand } from './commands/plot.js';
import { addPredictCommand } from './commands/predict.js';
import { addSetupTensorFlowCommand } from './commands/setup-tensorflow.js';
import { addStartCommand } from './commands/start.js';
import { addStatusCommands } from './commands/status.js';
import { addSummaryCommand } from './commands/summary.js';
import { addTrainingCommands } from './commands/training.js';
import { addWorkerCommand } from './commands/worker.js';
import { LockstepError, messageOf, type ErrorCode } from './shared/errors.js';
import { lockstepVersion } from './shared/version.js';

const failed = 1;
const badUse = 2;
const waitedInVain = 3;
const interrupted = 130;

function exitStatusOf(code: ErrorCode): number {
  switch (code) {
    case 'bad-option':
    case 'bad-config':
    case 'bad-data':
    case 'no-checkpoint':
      return badUse;
    case 'interrupted':
      return interrupted;
    case 'no-engine':
    case 'not-built':
    case 'port-in-use':
    case 'bad-address':
    case 'protocol':
    case 'refused':
    case 'unreachable':
    case 'bad-checkpoint':
    case 'download-failed':
    case 'setup-failed':
    case 'engine-failed':
    case 'diverged':
    case 'workers-failed':
    case 'save-failed':
    case 'stuck':
    case 'bits-differ':
      return failed;
    case 'no-workers':
      return waitedInVain;
    case 'already-finished':
      return 0;
    default:
      return code satisfies never;
  }
}

/** Whether errors are shown with where they come from. */
const isDebugging = !['', '0', undefined].includes(process.env['LOCKSTEP_DEBUG']);

/** What nobody has foreseen is a mistake of this program's own; its place is shown to who asks for it. */
function tellUnforeseen(error: unknown): void {
  const remedy = isDebugging ? '' : ' (a mistake in lockstep: LOCKSTEP_DEBUG=1 shows where)';
  process.stderr.write(`lockstep: unexpected error: ${messageOf(error)}${remedy}\n`);
  if (isDebugging) process.stderr.write(`${inspect(error)}\n`);
}

// Whoever reads the output may have read enough: `lockstep summary | head`. A run goes on, its files tell of it.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.on('uncaughtException', (error) => {
  tellUnforeseen(error);
  process.exit(failed);
});

const program = new Command('lockstep')
  .description('Trains ResNets on CIFAR-10 over any number of workers. The weights do not depend on who computed them.')
  .version(lockstepVersion)
  .showSuggestionAfterError()
  .showHelpAfterError('(--help lists what there is)')
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'lockstep: ')) })
  .exitOverride()
  .addHelpText(
    'after',
    `
Begin with:
  lockstep start                          a first run of about a minute
  lockstep train                          on this machine, on synthetic images if there are no others
  lockstep coordinator --min-workers 2    and on each machine: lockstep worker ws://HOST:7350

Exit status: 0 done, 1 failed, 2 bad options or data, 3 too few workers for --wait-timeout (after saving), 130 interrupted
(after saving).`,
  );
program.commandsGroup('Train:');
addStartCommand(program);
addTrainingCommands(program);
addWorkerCommand(program);
addStatusCommands(program);
program.commandsGroup('Before a run:');
addConfigCommand(program);
addSummaryCommand(program);
addDataCommands(program);
program.commandsGroup('With what was trained:');
addEvaluateCommand(program);
addPredictCommand(program);
addExportCommand(program);
addPlotCommand(program);
addDashboardCommand(program);
program.commandsGroup('The machine:');
addBenchCommand(program);
addChaosCommand(program);
addSetupTensorFlowCommand(program);
addDoctorCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has printed the message already; --help and --version come this way too.
    process.exitCode = error.exitCode === 0 ? 0 : badUse;
  } else if (error instanceof LockstepError) {
    process.stderr.write(`lockstep: ${error.message}\n`);
    if (isDebugging) process.stderr.write(`${inspect(error)}\n`);
    // Where `lockstep train` started this process it learns the reason as data.
    if (process.connected) process.send?.({ code: error.code, message: error.message });
    process.exitCode = exitStatusOf(error.code);
  } else {
    tellUnforeseen(error);
    process.exitCode = failed;
  }
}
