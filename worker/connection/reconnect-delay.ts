// How long a worker waits before it knocks again. Pure.

const firstDelayMs = 250;
const maxDelayMs = 15_000;

/**
 * Doubles with each attempt in vain, up to 15 s; jitter keeps the workers of a restarted coordinator from knocking all
 * at once.
 * @param attempt attempts in vain so far, from 1
 * @param jitter a random number in [0, 1)
 */
export function reconnectDelayMs(attempt: number, jitter: number): number {
  const delay = Math.min(maxDelayMs, firstDelayMs * 2 ** (attempt - 1));
  return delay * (0.5 + jitter / 2);
}
