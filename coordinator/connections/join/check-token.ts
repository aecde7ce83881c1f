// Checks the token in a worker's hello. Pure.
import { isJoinToken, type LinkTerms } from '../../../shared/protocol/join-token.js';
import { forbidden, mayDo, type TokenHolder, type TokenTable } from '../tokens.js';
import type { JoinLinks } from './join-links.js';

export type TokenCheck =
  /** The holder is undefined if no token was needed. */
  | { allowed: true; holder: WorkerTokenHolder | undefined }
  /** `isGuess` is false if the token was valid once. */
  | { allowed: false; message: string; isGuess: boolean };

export interface WorkerTokenHolder extends TokenHolder {
  /** The join link whose token it is, if it is one. */
  link?: LinkTerms | undefined;
}

/**
 * Returns whether a worker may join with this token.
 * @param links the join links; undefined if the run has none
 */
export function checkWorkerToken(token: string, tokens: TokenTable, links: JoinLinks | undefined): TokenCheck {
  const holder = tokens.holderOf(token);
  if (holder !== undefined) {
    if (mayDo(holder.role, 'join')) return { allowed: true, holder };
    return { allowed: false, message: `${forbidden(holder, 'join')}: use a worker token`, isGuess: true };
  }
  if (isJoinToken(token)) return checkLink(token, links);
  if (tokens.isEmpty) return { allowed: true, holder: undefined };
  const problem = token === '' ? 'the worker presented no token' : 'the worker presented an unknown token';
  const remedy = 'set one that this coordinator knows with LOCKSTEP_TOKEN or `tokenFile`';
  return { allowed: false, message: `${problem}: ${remedy}`, isGuess: true };
}

function checkLink(token: string, links: JoinLinks | undefined): TokenCheck {
  const state = links?.check(token) ?? { problem: 'unknown' };
  switch (state.problem) {
    case null: {
      const { terms } = state;
      return { allowed: true, holder: { name: `join link ${terms.id}`, role: 'worker', link: terms } };
    }
    case 'expired':
      return { allowed: false, message: `the join link has expired: ${askAgain}`, isGuess: false };
    case 'revoked':
      return { allowed: false, message: `the join link has been revoked: ${askAgain}`, isGuess: false };
    case 'unknown':
      return { allowed: false, message: `this coordinator does not know the join link: ${askAgain}`, isGuess: true };
    default:
      return state satisfies never;
  }
}

const askAgain = 'ask whoever gave you the link for a new one';
