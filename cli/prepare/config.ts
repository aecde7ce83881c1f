// lockstep config: prints the resolved configuration.
import type { Command } from 'commander';
import { resolveConfig } from '../../shared/config/config.js';
import { addConfigOptions, readConfig } from '../options/config-options.js';
import { standardOutput } from '../output/printer.js';

export function configure(command: Command): void {
  addConfigOptions(
    command.description('Print the configuration with all defaults and the recipe resolved, as JSON for --config.'),
  ).action(async (options: Record<string, unknown>) => {
    standardOutput.write(`${JSON.stringify(resolveConfig(await readConfig(options)), null, 2)}\n`);
  });
}
