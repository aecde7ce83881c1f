// lockstep summary: the network's layers, of a configuration or of a checkpoint.
import type { Command } from 'commander';
import { loadCheckpoint } from '../../coordinator/run/load-checkpoint.js';
import { describeSummary, summarizeModel } from '../../inference/export/summary.js';
import { resolveConfig } from '../../shared/config/config.js';
import { LockstepError } from '../../shared/errors.js';
import { layoutModel, type ModelLayout } from '../../shared/network/layout.js';
import { addConfigOptions, readConfig } from '../options/config-options.js';

export function addSummaryCommand(program: Command): void {
  addConfigOptions(
    program
      .command('summary')
      .description('list the layers with their shapes and parameters, as Keras does')
      .argument('[CHECKPOINT]', 'a checkpoint, or a run’s folder, which means its latest (default: the options below)')
      .option('--json', 'print JSON', false),
  ).action(async (location: string | undefined, options: Record<string, unknown>) => {
    const summary = summarizeModel(await layoutFor(location, options));
    const lines = options['json'] === true ? [JSON.stringify(summary, null, 2)] : describeSummary(summary);
    for (const line of lines) program.configureOutput().writeOut?.(`${line}\n`);
  });
}

async function layoutFor(location: string | undefined, options: Record<string, unknown>): Promise<ModelLayout> {
  const input = await readConfig(options);
  if (location === undefined) return layoutModel(resolveConfig(input));
  const given = Object.keys(input);
  if (given.length > 0) {
    throw new LockstepError(
      'bad-option',
      `${location} has a configuration of its own: leave out ${given.join(', ')}, or the checkpoint`,
    );
  }
  return (await loadCheckpoint(location)).layout;
}
