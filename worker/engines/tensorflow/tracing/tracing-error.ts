// Thrown for a function that cannot become a graph, and for a call that does not match the graph.
import { LockstepError } from '../../../../shared/errors.js';

/** The message names the operation or the input. */
export class TracingError extends LockstepError {
  override readonly name = 'TracingError';

  constructor(message: string, options?: ErrorOptions) {
    super('engine-failed', message, options);
  }
}
