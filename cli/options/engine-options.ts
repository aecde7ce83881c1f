// Options that choose the engine of the workers and its settings.
import { Option, type Command } from 'commander';
import { precisions, type EngineOptions, type Precision } from '../../worker/engine.js';
import { engineNames, type EngineName } from '../../shared/engine-names.js';
import { assertSupported } from '../../worker/engines/registry.js';
import type { EngineChoice } from '../../worker/worker-arguments.js';
import { addConfigOption } from './config-options.js';
import { wholeNumberOption } from './number-options.js';

const modes = ['graph', 'eager'] as const;

export interface EngineSettingValues {
  threads: number;
  precision: Precision;
  tfMode: (typeof modes)[number];
  xla?: true;
}

export interface EngineOptionValues extends EngineSettingValues {
  engine: EngineName;
}

/** @param auto what `auto` stands for */
export function engineOption(defaultEngine: EngineName, auto: string): Option {
  return new Option('--engine <ENGINE>', `engine to compute with; auto is ${auto}`)
    .choices(engineNames)
    .default(defaultEngine);
}

export function threadsOption(description: string): Option {
  return wholeNumberOption('--threads <N>', description, 1, 1024).default(1);
}

export function gpusOption(): Option {
  return new Option(
    '--gpus <LIST>',
    'GPUs to use, with one worker process each: all, or numbers such as 0,1, as nvidia-smi or, with --engine webgpu, lockstep doctor lists them (default: all if TensorFlow is installed for GPUs)',
  );
}

/** @param engine the option that chooses the engine; undefined for commands that take it from the configuration */
export function addEngineOptions(command: Command, engine?: Option): Command {
  command.optionsGroup('Engine:');
  if (engine === undefined) addConfigOption(command, 'engine');
  else command.addOption(engine);
  return command
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

/** Returns the settings of engines. */
export function readEngineSettings({ threads, precision, tfMode, xla }: EngineSettingValues): EngineOptions {
  return { threads, precision, tensorFlowMode: tfMode, xla: xla === true };
}

/** Returns the engine and its settings. Throws `bad-option` for a combination that the engine does not support. */
export async function readEngineOptions({ engine, ...settings }: EngineOptionValues): Promise<EngineChoice> {
  const choice = { engine, ...readEngineSettings(settings) };
  await assertSupported(engine, choice);
  return choice;
}
