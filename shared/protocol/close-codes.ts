// With which number a WebSocket between coordinator and worker is closed, and why. ws itself adds 1002 (what came was no
// WebSocket frames), 1007 (text that is none) and 1006 (the connection just ended, for silence for example).

export const closeCodes = {
  /** Goodbye: there is nothing left to do, or somebody leaves. */
  goodbye: 1000,
  /** Not allowed: what was said before, or that nothing was said. A refusal before it says why and what mends it. */
  refused: 1008,
  /** Longer than any legal message. */
  tooLong: 1009,
  /** There is no room now: come again later. */
  tryAgainLater: 1013,
} as const;
