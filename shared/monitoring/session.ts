// The answer of /session: what the user of a page may do.

export interface Session {
  mayRead: boolean;
  mayOperate: boolean;
  /** Whether the run is running on this coordinator, or was recorded earlier. */
  isLive: boolean;
  /** The owner of the token sent; null if none was sent. */
  holder: { name: string; role: string } | null;
  /** Whether the coordinator has tokens, so that logging in may allow more. */
  hasTokens: boolean;
}
