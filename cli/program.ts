// The command line as a whole: every command, in the order of --help. Nothing is read and nothing runs before it parses.
import { Command } from 'commander';
import { lockstepVersion } from '../shared/version.js';
import { addBenchCommand } from './machine/bench.js';
import { addChaosCommand } from './machine/chaos.js';
import { addConfigCommand } from './prepare/config.js';
import { addDashboardCommand } from './results/dashboard.js';
import { addDataCommands } from './prepare/data.js';
import { addDoctorCommand } from './machine/doctor.js';
import { addEvaluateCommand } from './results/evaluate.js';
import { addExportCommand } from './results/export.js';
import { addPlotCommand } from './results/plot.js';
import { addPredictCommand } from './results/predict.js';
import { addSetupTensorFlowCommand } from './machine/setup-tensorflow.js';
import { addStartCommand } from './train/start.js';
import { addStatusCommands } from './train/status.js';
import { addSummaryCommand } from './prepare/summary.js';
import { addTrainingCommands } from './train/training.js';
import { addWorkerCommand } from './train/worker.js';

/** Ends no process: what is wrong with a command line is thrown as CommanderError. */
export function lockstepProgram(): Command {
  const program = new Command('lockstep')
    .description(
      'Trains ResNets on CIFAR-10 over any number of workers. The weights do not depend on who computed them.',
    )
    .version(lockstepVersion)
    .showSuggestionAfterError()
    .showHelpAfterError('(--help lists what there is)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'lockstep: ')) })
    .exitOverride()
    .addHelpText(
      'after',
      `
Begin with:
  lockstep start                          a first run of a minute or two
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
  return program;
}
