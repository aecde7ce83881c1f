#!/usr/bin/env node
// The command line: names the commands, and turns errors into messages and exit statuses.
import { Command, CommanderError } from 'commander';
import { addBenchCommand } from './commands/bench.js';
import { addChaosCommand } from './commands/chaos.js';
import { addConfigCommand } from './commands/config.js';
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
import { LockstepError, type ErrorCode } from './shared/errors.js';
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

const program = new Command('lockstep')
  .description('Trains ResNets on CIFAR-10 over any number of workers. The weights do not depend on who computed them.')
  .version(lockstepVersion)
  .showSuggestionAfterError()
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
addStartCommand(program);
addTrainingCommands(program);
addWorkerCommand(program);
addStatusCommands(program);
addConfigCommand(program);
addSummaryCommand(program);
addDataCommands(program);
addEvaluateCommand(program);
addExportCommand(program);
addPredictCommand(program);
addPlotCommand(program);
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
    // Where `lockstep train` started this process it learns the reason as data.
    if (process.connected) process.send?.({ code: error.code, message: error.message });
    process.exitCode = exitStatusOf(error.code);
  } else {
    throw error;
  }
}
