// Converts the engine options to command-line arguments for a worker process.
import type { EngineOptions } from './engine.js';
import type { EngineName } from '../shared/engine-names.js';

export interface EngineChoice extends EngineOptions {
  engine: EngineName;
}

export function engineArguments({ engine, threads, precision, tensorFlowMode, xla }: EngineChoice): string[] {
  return [
    '--engine',
    engine,
    '--threads',
    String(threads),
    ...(precision === undefined ? [] : ['--precision', precision]),
    ...(tensorFlowMode === undefined ? [] : ['--tf-mode', tensorFlowMode]),
    ...(xla === true ? ['--xla'] : []),
  ];
}
