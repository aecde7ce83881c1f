import { describe, expect, it } from 'vitest';
import { mayDo, onlyTokenIn, TokenTable } from '../../../coordinator/connections/tokens.js';
import { messageOf } from '../../../shared/errors.js';

const file = `
# who        role      token
gpu-rack     worker    c2d5a1f09b7e4d38
wall-screen  viewer    77aa31e0b92c4f51

anna         operator  1f6e0d9a8c3b4752
5b9d1c7e3f024a86
`;

describe('a token file', () => {
  const table = TokenTable.parse(file, 'tokens');

  it.each([
    ['c2d5a1f09b7e4d38', { name: 'gpu-rack', role: 'worker' }],
    ['77aa31e0b92c4f51', { name: 'wall-screen', role: 'viewer' }],
    ['1f6e0d9a8c3b4752', { name: 'anna', role: 'operator' }],
    ['5b9d1c7e3f024a86', { name: 'owner', role: 'owner' }],
    ['C2D5A1F09B7E4D38', undefined],
    ['c2d5a1f09b7e4d3', undefined],
    ['', undefined],
    ['# who', undefined],
  ])('identifies the holder of %j', (token, holder) => {
    expect(table.holderOf(token)).toEqual(holder);
  });

  it.each([
    ['', 'tokens contains no tokens: add a line NAME ROLE TOKEN for each holder'],
    ['# nobody\n', 'tokens contains no tokens: add a line NAME ROLE TOKEN for each holder'],
    ['\nrack worker', 'line 2 of tokens has 2 fields: write NAME ROLE TOKEN, or TOKEN alone'],
    ['a b c d', 'line 1 of tokens has 4 fields: write NAME ROLE TOKEN, or TOKEN alone'],
    [
      'rack toString c2d5a1f09b7e4d38',
      'line 1 of tokens has an unknown role: the second field must be one of worker, relay, viewer, operator, owner',
    ],
    ['rack worker secret', /^line 1 of tokens has a token of 6 characters, which can be guessed: .* at least 16/],
    ['a worker c2d5a1f09b7e4d38\na viewer 77aa31e0b92c4f51', /^line 2 of tokens repeats the name a: /],
    ['a worker c2d5a1f09b7e4d38\nb viewer c2d5a1f09b7e4d38', /^line 2 of tokens repeats the token of a: /],
  ])('with the content %j is refused with the line number but without the token', (text, message) => {
    const thrown = thrownBy(() => TokenTable.parse(text, 'tokens'));
    expect(thrown).toMatchObject({ code: 'bad-option' });
    expect(messageOf(thrown)).toMatch(message);
    expect(String(thrown)).not.toMatch(/c2d5|secret/);
  });
});

function thrownBy(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

describe('a single token', () => {
  it('allows everything', () => {
    expect(TokenTable.ofOwner('secret').holderOf('secret')?.role).toBe('owner');
  });

  it('that is empty has no holder, even if there are no tokens', () => {
    expect(TokenTable.none.isEmpty).toBe(true);
    expect(TokenTable.none.holderOf('')).toBeUndefined();
  });
});

describe('a role', () => {
  it.each([
    ['worker', true, false, false],
    ['viewer', false, true, false],
    ['operator', false, true, true],
    ['owner', true, true, true],
  ] as const)('%s may join: %j, read: %j, operate: %j', (role, join, read, operate) => {
    expect([mayDo(role, 'join'), mayDo(role, 'read'), mayDo(role, 'operate')]).toEqual([join, read, operate]);
  });
});

describe("a worker's token file", () => {
  it('holds one token, with or without its name and role', () => {
    expect(onlyTokenIn('c2d5a1f09b7e4d38\n', 'token')).toBe('c2d5a1f09b7e4d38');
    expect(onlyTokenIn('rack worker c2d5a1f09b7e4d38', 'token')).toBe('c2d5a1f09b7e4d38');
    expect(() => onlyTokenIn('\n', 'token')).toThrow('token contains no tokens: a worker needs exactly one');
    expect(() => onlyTokenIn(file, 'token')).toThrow('token contains 4 tokens: a worker needs exactly one');
  });
});
