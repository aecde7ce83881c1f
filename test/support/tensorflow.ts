// The TensorFlow engine for tests that need it, or the reason why it is not available.
import { LockstepError } from '../../shared/errors.js';
import type { Engine } from '../../worker/engine.js';
import { openTensorFlowEngine } from '../../worker/engines/tensorflow/tensorflow-engine.js';
import { sayWhySkipped } from './why-skipped.js';

export { sayWhySkipped };

/**
 * Opens the engine with one thread. Returns the reason to skip if TensorFlow is not installed; rethrows all other
 * errors.
 */
export async function openTensorFlowOrReason(): Promise<Engine | string> {
  try {
    return await openTensorFlowEngine({ threads: 1 });
  } catch (error) {
    if (!(error instanceof LockstepError && error.code === 'no-engine')) throw error;
    sayWhySkipped('tests of the TensorFlow engine', error.message);
    return error.message;
  }
}
