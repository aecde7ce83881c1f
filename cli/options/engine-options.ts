// The options that say what workers compute with: the same on worker, train and bench.
import { Option, type Command } from 'commander';
import { precisions, type Precision } from '../../worker/engine.js';
import { assertSupported, engineNames, type EngineName } from '../../worker/engines/registry.js';
import type { EngineChoice } from '../../worker/worker-arguments.js';
import { parseWholeNumber } from './config-options.js';

const threadsDefault = '1';
const modes = ['graph', 'eager'] as const;

const group = 'What computes:';

export function addEngineOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--engine <ENGINE>', 'what to compute with').choices(engineNames).default('auto').helpGroup(group),
    )
    .addOption(
      new Option('--threads <N>', 'threads to compute with, of each worker').default(threadsDefault).helpGroup(group),
    )
    .addOption(
      new Option('--precision <TYPE>', 'type of the convolutions; others than float32 need tensorflow')
        .choices(precisions)
        .default('float32')
        .helpGroup(group),
    )
    .addOption(
      new Option('--tf-mode <MODE>', 'how tensorflow is called: once a slice, or once an operation (to compare)')
        .choices(modes)
        .default('graph')
        .helpGroup(group),
    )
    .addOption(new Option('--xla', 'let tensorflow compile its graphs with XLA (on GPUs)').helpGroup(group));
}

export function gpusOption(): Option {
  return new Option(
    '--gpus <LIST>',
    'GPUs, a worker process each: all, or numbers such as 0,1 (default: all there are)',
  );
}

/** commander has checked the choices. Throws `bad-option` for those that do not go together: now, and not in each worker. */
export async function readEngineOptions(options: Readonly<Record<string, unknown>>): Promise<EngineChoice> {
  const { engine, threads, precision, tfMode, xla } = options;
  const choice: EngineChoice = {
    engine: engine as EngineName,
    threads: parseWholeNumber('--threads', String(threads), 1, 1024),
    precision: precision as Precision,
    tensorFlowMode: tfMode as (typeof modes)[number],
    xla: xla === true,
  };
  await assertSupported(choice.engine, choice);
  return choice;
}
