// lockstep summary: prints the layers of a network, from a configuration or a checkpoint, and what a step exchanges.
import type { Command } from 'commander';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import { summarizeModel } from '../../inference/export/summary.js';
import { kebabCase, resolveConfig } from '../../shared/config/config.js';
import { resolveDataset } from '../../datasets/read-dataset.js';
import { readOptionsOf } from '../../datasets/read-options.js';
import { cifar10Description } from '../../shared/dataset/cifar10-layout.js';
import { recordFormatOf } from '../../shared/dataset/record-format.js';
import { LockstepError } from '../../shared/errors.js';
import { graphOf } from '../../shared/config/network-config.js';
import { layoutNetwork, type ModelLayout } from '../../shared/network/layout.js';
import { addConfigOptions, readConfig } from '../options/config-options.js';
import { describeExchange, summarizeExchange } from '../output/exchange-summary.js';
import { describeSummary } from '../output/model-summary.js';
import { printLines } from '../output/printer.js';

export function configure(command: Command): void {
  command
    .description(
      'Print the layers of the network with their shapes and parameter counts, like model.summary() in Keras, and how many ' +
        'bytes a worker exchanges in each step.',
    )
    .argument(
      '[CHECKPOINT]',
      'checkpoint, or run directory to use its latest checkpoint (default: the network that the options define)',
    )
    .option('--json', 'print JSON');
  addConfigOptions(command).action(
    async (location: string | undefined, { json, ...options }: Record<string, unknown>) => {
      const { layout, localSteps } = await networkFor(location, options);
      const model = summarizeModel(layout);
      const exchange = summarizeExchange(layout, localSteps);
      const text = json
        ? [JSON.stringify({ ...model, exchange }, null, 2)]
        : [...describeSummary(model), '', ...describeExchange(exchange, localSteps)];
      printLines(command, text);
    },
  );
}

/** Returns the network, and how many steps a run with these options makes between two exchanges. */
async function networkFor(
  location: string | undefined,
  options: Record<string, unknown>,
): Promise<{ layout: ModelLayout; localSteps: number }> {
  const input = await readConfig(options);
  if (location === undefined) {
    const config = resolveConfig(input);
    const dataset =
      config.data === null
        ? cifar10Description
        : (await resolveDataset(config.data, readOptionsOf(config, {}))).description;
    return { layout: layoutNetwork(graphOf(config), recordFormatOf(dataset)), localSteps: config.localSteps };
  }
  const flags = Object.keys(input).map((key) => `--${kebabCase(key)}`);
  if (flags.length === 0) {
    const { layout, config } = await loadCheckpoint(location);
    return { layout, localSteps: config.localSteps };
  }
  throw new LockstepError(
    'bad-option',
    `${location} is given together with ${flags.join(', ')}: a checkpoint has its own configuration, so omit either CHECKPOINT or the options`,
  );
}
