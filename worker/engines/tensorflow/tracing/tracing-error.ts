// What a function does that no graph can hold, or a call that does not fit the graph.
import { LockstepError } from '../../../../shared/errors.js';

/** The message names the operation, or the input. */
export class TracingError extends LockstepError {
  override readonly name = 'TracingError';

  constructor(message: string, options?: ErrorOptions) {
    super('engine-failed', message, options);
  }
}
