import { describe, expect, it } from 'vitest';
import {
  hostProblem,
  parseOrigin,
  parsePublicUrl,
  publicUrlText,
  withoutPrefix,
} from '../../../../coordinator/connections/http/public-url.js';

describe('a public URL', () => {
  it.each([
    ['https://lab.example.org', 'https://lab.example.org'],
    ['http://lab.example.org:8080/', 'http://lab.example.org:8080'],
    ['https://LAB.example.org/train/', 'https://lab.example.org/train'],
  ])('%s is %s', (text, expected) => {
    expect(publicUrlText(parsePublicUrl(text))).toBe(expected);
  });

  it.each([
    'lab.example.org',
    'ws://lab.example.org',
    'https://me:secret@lab.example.org',
    'https://a/?b',
    'https://a/#b',
  ])('%s is an error that names it', (text) => {
    expect(() => parsePublicUrl(text)).toThrow(
      expect.objectContaining({ code: 'bad-option', message: expect.stringContaining(`\`publicUrl\` is ${text}: `) }),
    );
  });
});

describe('an allowed origin', () => {
  it('is a scheme and a host', () => {
    expect(parseOrigin('https://WWW.example.org/')).toBe('https://www.example.org');
    expect(parseOrigin('http://localhost:5173')).toBe('http://localhost:5173');
  });

  it.each(['www.example.org', 'https://www.example.org/page', '*', 'null', 'file:///'])('%s is an error', (text) => {
    expect(() => parseOrigin(text)).toThrow(
      expect.objectContaining({ code: 'bad-option', message: expect.stringContaining(`contains ${text}: `) }),
    );
  });
});

describe('a request to a public URL with a path', () => {
  const publicUrl = new URL('https://lab.example.org/train/');

  it.each([
    ['/train/join', '/join'],
    ['/train/join/about?link=1', '/join/about?link=1'],
    ['/train', '/'],
    ['/train?x', '/?x'],
    ['/train/', '/'],
    // Some proxies remove the path themselves.
    ['/join', '/join'],
    ['/training', '/training'],
  ])('for %s is for %s', (path, expected) => {
    expect(withoutPrefix(path, publicUrl)).toBe(expected);
  });

  it('without a path keeps its own', () => {
    expect(withoutPrefix('/join', new URL('https://lab.example.org'))).toBe('/join');
  });
});

describe('the Host header of a coordinator with a public URL', () => {
  const publicUrl = new URL('https://lab.example.org/train');

  it.each([
    'lab.example.org',
    'LAB.example.org:443',
    'localhost:7350',
    '127.0.0.1:7350',
    '[::1]:7350',
    '10.0.0.5:7350',
  ])('may be %s', (host) => {
    expect(hostProblem({ host }, publicUrl)).toBeUndefined();
  });

  it.each(['evil.example', 'lab.example.org.evil.example', '127.0.0.1.evil.example:7350', ''])(
    'may not be %j',
    (host) => {
      expect(hostProblem({ host }, publicUrl)).toContain(
        "this coordinator's public URL is https://lab.example.org/train",
      );
    },
  );

  it('may be any if there is no public URL', () => {
    expect(hostProblem({ host: 'evil.example' }, undefined)).toBeUndefined();
  });
});
