// The values of options of a port that workers come to: the same on train, coordinator, evaluate and dashboard.
import { parseWholeNumber } from './config-options.js';

export function parsePort(text: string): number {
  return parseWholeNumber('--port', text, 0, 65_535);
}

/** In milliseconds; undefined for a wait without end. */
export function parseWaitTimeout(seconds: string | undefined): number | undefined {
  return seconds === undefined ? undefined : 1000 * parseWholeNumber('--wait-timeout', seconds, 1, 2_000_000);
}
