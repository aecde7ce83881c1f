// WebSocket close codes. The ws library also uses 1002 (invalid WebSocket frame), 1006 (closed without a code, for
// example after a heartbeat timeout) and 1007 (invalid UTF-8).

export const closeCodes = {
  /** There is nothing left to do, or one side is leaving. */
  goodbye: 1000,
  /** Protocol violation or refusal. The refusal message sent before closing gives the reason and the remedy. */
  refused: 1008,
  /** A message exceeded the maximum length. */
  tooLong: 1009,
  /** The run has all the workers it can use, or the hello was late; try again later. */
  tryAgainLater: 1013,
} as const;
