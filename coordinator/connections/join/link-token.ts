// Signs and verifies the tokens of join links with HMAC-SHA256. Pure.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { parseJoinToken, signedPartOf, type LinkTerms } from '../../../shared/protocol/join-token.js';

/** Returns the token of a link. */
export function signLink(terms: LinkTerms, key: Uint8Array): string {
  const signed = signedPartOf(terms);
  return `${signed}-${signatureOf(signed, key).toString('base64url')}`;
}

/** Returns what a token allows; undefined if it was not signed with this key. Does not check whether it has expired. */
export function verifyLink(token: string, key: Uint8Array): LinkTerms | undefined {
  const parsed = parseJoinToken(token);
  if (parsed === undefined) return undefined;
  const { signed, signature, id, expires, maxWorkers } = parsed;
  const isGenuine = timingSafeEqual(Buffer.from(signature, 'base64url'), signatureOf(signed, key));
  return isGenuine ? { id, expires, maxWorkers } : undefined;
}

function signatureOf(signed: string, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(signed).digest();
}
