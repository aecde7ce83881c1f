// Options that choose the engine of the workers and its settings.
import { Option, type Command } from 'commander';
import { precisions, type Precision } from '../../worker/engine.js';
import { assertSupported, engineNames, type EngineName } from '../../worker/engines/registry.js';
import type { EngineChoice } from '../../worker/worker-arguments.js';
import { wholeNumberOption } from './number-options.js';

const modes = ['graph', 'eager'] as const;

export interface EngineOptionValues {
  engine: EngineName;
  threads: number;
  precision: Precision;
  tfMode: (typeof modes)[number];
  xla?: true;
}

export function engineOption(defaultEngine: EngineName): Option {
  return new Option('--engine <ENGINE>', 'engine to compute with; auto is tensorflow if it loads, otherwise wasm')
    .choices(engineNames)
    .default(defaultEngine);
}

export function threadsOption(description: string): Option {
  return wholeNumberOption('--threads <N>', description, 1, 1024).default(1);
}

export function gpusOption(): Option {
  return new Option(
    '--gpus <LIST>',
    'GPUs to use, with one worker process each: all, or numbers such as 0,1 (default: all if TensorFlow is installed for GPUs)',
  );
}

export function addEngineOptions(command: Command): Command {
  return command
    .optionsGroup('Engine:')
    .addOption(engineOption('auto'))
    .addOption(threadsOption('CPU threads per worker'))
    .addOption(
      new Option('--precision <TYPE>', 'data type of convolutions; anything but float32 needs the tensorflow engine')
        .choices(precisions)
        .default('float32'),
    )
    .addOption(
      new Option('--tf-mode <MODE>', 'run TensorFlow as one graph per slice, or eagerly, op by op, for comparison')
        .choices(modes)
        .default('graph'),
    )
    .option('--xla', 'compile TensorFlow graphs with XLA (GPUs only)');
}

/** Throws `bad-option` for a combination that the engine does not support, before any worker is started. */
export async function readEngineOptions(options: EngineOptionValues): Promise<EngineChoice> {
  const { engine, threads, precision, tfMode, xla } = options;
  const choice: EngineChoice = { engine, threads, precision, tensorFlowMode: tfMode, xla: xla === true };
  await assertSupported(choice.engine, choice);
  return choice;
}
