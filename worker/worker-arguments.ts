// The command line that gives a worker process its engine: what one process says so that another computes alike.
import type { EngineOptions } from './engine.js';
import type { EngineName } from './engines/registry.js';

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
