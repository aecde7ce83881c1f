// Exponential backoff for reconnecting. Pure.

const firstDelayMs = 250;
const maxDelayMs = 15_000;

/**
 * Returns the delay before the next attempt in milliseconds: a random delay between 50% and 100% of an interval that
 * doubles with each failed attempt, up to 15 s. The jitter keeps the workers of a restarted coordinator from
 * reconnecting all at once.
 * @param attempt number of failed attempts so far, at least 1
 * @param jitter random number in [0, 1)
 */
export function reconnectDelayMs(attempt: number, jitter: number): number {
  const delay = Math.min(maxDelayMs, firstDelayMs * 2 ** (attempt - 1));
  return delay * (0.5 + jitter / 2);
}
