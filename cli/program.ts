// All commands, in the order in which --help lists them. The options and code of a command are loaded only when it is
// used, so that `lockstep --help` and `lockstep --version` load none of them.
import { Command, type Argument, type Option } from 'commander';
import { lockstepVersion } from '../shared/version.js';
import { registerFlags, withFlags } from './output/flag-names.js';

/** Module of a command. `configure` adds the description, arguments, options and action. */
type CommandModule = { configure: (command: Command) => unknown };
type CommandEntry = [name: string, summary: string, load: () => Promise<CommandModule>];

const commandGroups: Readonly<Record<string, readonly CommandEntry[]>> = {
  'Training:': [
    ['start', 'Train briefly on this machine and show what to do next', () => import('./train/start.js')],
    ['train', 'Train on this machine', () => import('./train/train.js')],
    [
      'coordinator',
      'Start a coordinator and train with workers on one or more machines',
      () => import('./train/coordinator.js'),
    ],
    ['worker', 'Start a worker for a coordinator', () => import('./train/worker.js')],
    ['relay', 'Start a relay, with workers of its own, for a coordinator', () => import('./train/relay.js')],
    ['status', 'Show what a running coordinator is doing', () => import('./train/status.js')],
    ['workers', 'List the workers of a running coordinator', () => import('./train/workers.js')],
  ],
  'Preparation:': [
    ['config', 'Print the resolved configuration', () => import('./prepare/config.js')],
    ['summary', 'Print the layers of the network', () => import('./prepare/summary.js')],
    ['network', 'Import networks from Keras and TensorFlow.js', () => import('./prepare/network.js')],
    ['data', 'Download, import and verify datasets', () => import('./prepare/data.js')],
  ],
  'Results:': [
    ['evaluate', 'Measure the loss and accuracy of a checkpoint', () => import('./results/evaluate.js')],
    ['predict', 'Classify images', () => import('./results/predict.js')],
    ['export', 'Convert a checkpoint for Keras, TensorFlow, ONNX and others', () => import('./results/export.js')],
    ['plot', 'Plot the curves of one or more runs', () => import('./results/plot.js')],
    ['dashboard', 'Open the dashboard of a finished run', () => import('./results/dashboard.js')],
  ],
  'This machine:': [
    ['bench', 'Measure training speed', () => import('./machine/bench.js')],
    ['chaos', 'Check that faults do not change the weights', () => import('./machine/chaos.js')],
    ['setup-tensorflow', 'Build TensorFlow for this machine', () => import('./machine/setup-tensorflow.js')],
    ['doctor', 'Check this machine and, optionally, a coordinator', () => import('./machine/doctor.js')],
  ],
};

const loaders = new WeakMap<Command, () => Promise<CommandModule>>();

/** Builds the command line. It never exits the process: parse errors are thrown as CommanderError. */
export function lockstepProgram(): Command {
  const program = new Command('lockstep')
    .description(
      'Train image classifiers with any number of workers. The weights do not depend on which workers computed them.',
    )
    .version(lockstepVersion, '-V, --version', 'print the version')
    .usage('COMMAND [options]')
    .helpOption('-h, --help', 'print help')
    .configureHelp({
      argumentDescription: describeTerm,
      optionDescription: describeTerm,
      subcommandTerm: (command) => command.name(),
    })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'lockstep: ')) })
    .exitOverride()
    .helpCommand(false)
    .addHelpText(
      'after',
      `
Getting started:
  lockstep start                          train for a minute or two on this machine
  lockstep train                          train with the full recipe on this machine
  lockstep coordinator --host 0.0.0.0     train on several machines
  lockstep worker ws://HOST:7350          add a worker; coordinator and worker need LOCKSTEP_TOKEN

Run lockstep COMMAND --help for the options of a command.

Exit status: 0 success, 1 failure, 2 invalid options or data, 3 too few workers
for --wait-timeout, 130 interrupted. Training saves a checkpoint before it exits
with 3 or 130.`,
    );
  for (const [group, entries] of Object.entries(commandGroups)) {
    program.commandsGroup(group);
    for (const [name, summary, load] of entries) {
      loaders.set(program.command(name).summary(summary).description(`${summary}.`), load);
    }
  }
  program.hook('preSubcommand', (_, command) => loadCommand(command));
  program
    .command('help [command...]', { hidden: true })
    .action(async (words: string[]) => void (await program.parseAsync([...words, '--help'], { from: 'user' })));
  return program;
}

async function loadCommand(command: Command): Promise<void> {
  const load = loaders.get(command);
  loaders.delete(command);
  (await load?.())?.configure(command);
  registerFlags(command);
}

/** Loads the options and actions of every command. */
export async function loadAllCommands(program: Command): Promise<void> {
  for (const command of program.commands) await loadCommand(command);
}

/** Like withFlags, for a message that may also name options of commands other than the running one. */
export async function withFlagsOfAllCommands(program: Command, message: string): Promise<string> {
  if (/`[\w.]+`/.test(withFlags(message))) await loadAllCommands(program);
  return withFlags(message);
}

/** Returns the help text of an option or argument, with its choices and default value. */
function describeTerm({ description, argChoices, defaultValue, defaultValueDescription }: Option | Argument): string {
  const details = [
    ...(argChoices === undefined ? [] : [`choices: ${argChoices.join(', ')}`]),
    ...(defaultValue === undefined || typeof defaultValue === 'boolean'
      ? []
      : [`default: ${defaultValueDescription ?? String(defaultValue)}`]),
  ];
  return details.length === 0 ? description : `${description} (${details.join('; ')})`;
}
