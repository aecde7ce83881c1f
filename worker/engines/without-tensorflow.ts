// Settings that only the tensorflow engine has.
import type { EngineName } from '../../shared/engine-names.js';
import { LockstepError } from '../../shared/errors.js';
import type { EngineSettings } from '../engine.js';

/** Throws `bad-option` for settings that another engine than tensorflow does not support. */
export function assertNoTensorFlowSettings(
  engine: EngineName,
  { precision = 'float32', tensorFlowMode = 'graph', xla = false }: EngineSettings,
): void {
  const unsupported = [
    ...(precision === 'float32' ? [] : [`\`precision\` ${precision}`]),
    ...(tensorFlowMode === 'graph' ? [] : [`\`tensorFlowMode\` ${tensorFlowMode}`]),
    ...(xla ? ['`xla`'] : []),
  ];
  if (unsupported.length === 0) return;
  throw new LockstepError(
    'bad-option',
    `${unsupported.join(' and ')} ${unsupported.length === 1 ? 'needs' : 'need'} the tensorflow engine: ${engine} computes ` +
      'in float32 and without TensorFlow (lockstep setup-tensorflow installs it)',
  );
}
