// lockstep network: imports networks from other software.
import type { Command } from 'commander';
import { configureNetworkImport } from './network/import-command.js';

export function configure(command: Command): void {
  command.helpCommand(false).addHelpText(
    'after',
    `
Examples:
  lockstep network import model.keras network.json --weights
  lockstep network import web/model.json network.json`,
  );
  configureNetworkImport(command.command('import').summary('Import a Keras or TensorFlow.js model'));
}
