import { describe, expect, it } from 'vitest';
import { signLink, verifyLink } from '../../../../coordinator/connections/join/link-token.js';
import { parseJoinToken } from '../../../../shared/protocol/join-token.js';

const key = Buffer.alloc(32, 7);
const terms = { id: '0123456789abcdef', expires: 1_796_000_000, maxWorkers: 64 };
const token = signLink(terms, key);

describe("a link's token", () => {
  it('consists of the terms and an HMAC-SHA256, and of characters that URLs allow', () => {
    expect(token).toMatch(/^join-0123456789abcdef-1796000000-64-[\w-]{43}$/);
    expect(parseJoinToken(token)).toMatchObject(terms);
    expect(verifyLink(token, key)).toEqual(terms);
  });

  it.each([
    ['another id', token.replace('0123456789abcdef', 'fedcba9876543210')],
    ['a later expiry', token.replace('1796000000', '1896000000')],
    ['more workers', token.replace('-64-', '-65-')],
    ['another signature', token.slice(0, -43) + 'A'.repeat(43)],
    ['a signature that is too short', token.slice(0, -1)],
    ['no signature', token.slice(0, -44)],
    ['more text', `${token}A`],
  ])('with %s is not valid', (_, changed) => {
    expect(changed).not.toBe(token);
    expect(verifyLink(changed, key)).toBeUndefined();
  });

  it('is not valid with another key', () => {
    expect(verifyLink(token, Buffer.alloc(32, 8))).toBeUndefined();
  });
});
