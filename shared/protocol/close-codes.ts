// WebSocket close codes. ws itself adds 1002 (not WebSocket frames), 1006 (closed without a code, for example after a
// heartbeat timeout) and 1007 (invalid text).

export const closeCodes = {
  /** Nothing left to do, or one side leaves. */
  goodbye: 1000,
  /** Protocol violation or refusal. A refusal message before it explains the reason and the remedy. */
  refused: 1008,
  /** A message was longer than any legal one. */
  tooLong: 1009,
  /** Too many connections; try again later. */
  tryAgainLater: 1013,
} as const;
