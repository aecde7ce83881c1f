// The engine options of a worker process, as arguments of its command line.
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
