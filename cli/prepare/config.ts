// lockstep config: the resolved configuration, without a run.
import type { Command } from 'commander';
import { resolveConfig } from '../../shared/config/config.js';
import { addConfigOptions, readConfig } from '../options/config-options.js';
import { standardOutput } from '../output/line-writer.js';

export function addConfigCommand(program: Command): void {
  addConfigOptions(
    program.command('config').description('print every option resolved, as JSON that --config reads'),
  ).action(async (options: Record<string, unknown>) => {
    standardOutput.write(`${JSON.stringify(resolveConfig(await readConfig(options)), null, 2)}\n`);
  });
}
