// What a worker reports to the coordinator about an error of an engine. Pure.
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { FailureMessage } from '../../shared/protocol/messages.js';

export function failureOf(error: unknown): Pick<FailureMessage, 'code' | 'message'> {
  const isNetworks = error instanceof LockstepError && error.code === 'bad-config';
  return { code: isNetworks ? 'bad-config' : 'engine-failed', message: messageOf(error).slice(0, 2000) };
}
