// The link that opened the page: its token is the fragment of the page's address and is never sent over HTTP.
import type { JoinAbout } from '../../shared/monitoring/join.js';
import { parseJoinToken } from '../../shared/protocol/join-token.js';

export const token = location.hash.slice(1);
/** ID of the link, which is part of the token but not secret; undefined if the address holds no token. */
export const linkId = parseJoinToken(token)?.id;
/** Address of the coordinator: the page's, without its last part. */
export const coordinatorUrl = new URL('.', location.origin + location.pathname);

/** Asks what the link is for. Throws if the coordinator does not answer. */
export async function askAbout(id: string): Promise<JoinAbout> {
  const response = await fetch(`join/about?link=${id}`, { cache: 'no-store' });
  if (!response.ok) throw new Error(`join/about: ${response.status}`);
  // The page comes from the same build as the coordinator, so the answer needs no validation.
  return (await response.json()) as JoinAbout;
}
