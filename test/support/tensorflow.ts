// TensorFlow for tests that need it, or why it is not here.
import { LockstepError } from '../../shared/errors.js';
import type { Engine } from '../../worker/engine.js';
import { openTensorFlowEngine } from '../../worker/engines/tensorflow/tensorflow-engine.js';
import { sayWhySkipped } from './why-skipped.js';

export { sayWhySkipped };

/** The engine on one thread, or the reason with which to skip. Other failures are thrown: they must not pass for a skip. */
export async function openTensorFlowOrReason(): Promise<Engine | string> {
  try {
    return await openTensorFlowEngine({ threads: 1 });
  } catch (error) {
    if (!(error instanceof LockstepError && error.code === 'no-engine')) throw error;
    sayWhySkipped('tests of the TensorFlow engine', error.message);
    return error.message;
  }
}
