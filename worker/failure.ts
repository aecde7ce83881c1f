// What a worker says about an error of an engine. Pure.
import { LockstepError, messageOf } from '../shared/errors.js';
import type { FailureMessage } from '../shared/protocol/messages.js';

/** Whether the engine's device is lost, for example because its driver was restarted. The engine can open it again. */
export function isDeviceLost(error: unknown): boolean {
  return error instanceof LockstepError && error.code === 'device-lost';
}

export function failureOf(error: unknown): Pick<FailureMessage, 'code' | 'message'> {
  const isNetworks = error instanceof LockstepError && error.code === 'bad-config';
  return { code: isNetworks ? 'bad-config' : 'engine-failed', message: messageOf(error).slice(0, 2000) };
}
