// The error for functions that cannot be traced and for calls that do not match the traced graph.
import { LockstepError } from '../../../../shared/errors.js';

/** Thrown when tracing or calling a traced function fails. The message names the operation or the input. */
export class TracingError extends LockstepError {
  override readonly name = 'TracingError';

  constructor(message: string, options?: ErrorOptions) {
    super('engine-failed', message, options);
  }
}
