// Exponential back-off for reconnecting. Pure.

const firstDelayMs = 250;
const maxDelayMs = 15_000;

/**
 * Doubles with each failed attempt, up to 15 s. Jitter keeps the workers of a restarted coordinator from reconnecting
 * all at once.
 * @param attempt number of failed attempts so far, from 1
 * @param jitter a random number in [0, 1)
 */
export function reconnectDelayMs(attempt: number, jitter: number): number {
  const delay = Math.min(maxDelayMs, firstDelayMs * 2 ** (attempt - 1));
  return delay * (0.5 + jitter / 2);
}
