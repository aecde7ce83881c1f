// The response of /session: what the user of a page may do.

export interface Session {
  mayRead: boolean;
  mayOperate: boolean;
  /** True if the run is in progress on this coordinator, false if it is a recorded run. */
  isLive: boolean;
  /** Owner of the token that the page sent; null if it sent none. */
  holder: { name: string; role: string } | null;
  /** Whether the coordinator has tokens, so that logging in may give more permissions. */
  hasTokens: boolean;
  /** Whether the run can have a join link, which operators may create and revoke. */
  hasJoinLinks: boolean;
}
