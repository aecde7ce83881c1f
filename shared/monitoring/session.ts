// Who the reader of a page is, as far as the coordinator can tell: the answer of /session.

export interface Session {
  mayRead: boolean;
  mayOperate: boolean;
  /** Whether there is a running run behind the page, or only what one has left. */
  isLive: boolean;
  /** Whose token was shown; null where none was. */
  holder: { name: string; role: string } | null;
  /** Whether there are tokens at all: then another one may open more. */
  hasTokens: boolean;
}
