import { beforeEach, describe, expect, it } from 'vitest';
import { checkWorkerToken } from '../../../../coordinator/connections/join/check-token.js';
import { JoinLinks } from '../../../../coordinator/connections/join/join-links.js';
import { TokenTable } from '../../../../coordinator/connections/tokens.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

const { none } = TokenTable;
const secret = TokenTable.ofOwner('secret');
let links: JoinLinks;
let now = 0;

beforeEach(async () => {
  now = 1_795_975_200_000;
  links = new JoinLinks(await temporaryFolder(), { expiresMs: 60_000, maxWorkers: 3 }, () => now);
  links.save();
});

describe('a worker', () => {
  it('with the token of the link is let in, whether or not there are other tokens', () => {
    const { id, expires, token } = links.current!;
    const link = { id, expires, maxWorkers: 3 };
    const allowed = { allowed: true, holder: { name: `join link ${id}`, role: 'worker', link } };
    expect(checkWorkerToken(token, none, links)).toEqual(allowed);
    expect(checkWorkerToken(token, secret, links)).toEqual(allowed);
  });

  it('without a token is let in only if there are no other tokens', () => {
    expect(checkWorkerToken('', none, links)).toEqual({ allowed: true, holder: undefined });
    expect(checkWorkerToken('', secret, links)).toMatchObject({ allowed: false, isGuess: true });
  });

  it('with a forged link is refused even if no token is needed, and even if the run has no links', () => {
    const forged = links.current!.token.replace('-3-', '-300-');
    const refused = {
      allowed: false,
      isGuess: true,
      message: 'this coordinator does not know the join link: ask whoever gave you the link for a new one',
    };
    expect(checkWorkerToken(forged, none, links)).toEqual(refused);
    expect(checkWorkerToken(links.current!.token, none, undefined)).toEqual(refused);
    expect(checkWorkerToken('join-', none, links)).toEqual(refused);
  });

  it('with a link that was valid once is refused, but has not guessed', () => {
    const { token } = links.current!;
    now += 60_000;
    expect(checkWorkerToken(token, none, links)).toEqual({
      allowed: false,
      isGuess: false,
      message: 'the join link has expired: ask whoever gave you the link for a new one',
    });
    now -= 60_000;
    links.revoke();
    expect(checkWorkerToken(token, none, links)).toMatchObject({
      allowed: false,
      isGuess: false,
      message: expect.stringContaining('the join link has been revoked'),
    });
  });
});
