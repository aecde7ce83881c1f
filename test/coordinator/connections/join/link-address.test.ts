import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { browserUrl } from '../../../../coordinator/connections/join/link-address.js';

describe('the URL by which browsers reach a coordinator', () => {
  it.each([
    [{ host: '127.0.0.1', port: 7350, usesTls: false }, 'http://127.0.0.1:7350'],
    [{ host: '::1', port: 7350, usesTls: false }, 'http://[::1]:7350'],
    [{ host: 'lab.example.org', port: 443, usesTls: true }, 'https://lab.example.org:443'],
  ])('of %j is %s', (address, url) => {
    expect(browserUrl(undefined, address)).toBe(url);
  });

  it.each(['0.0.0.0', '::'])('that listens on %s has an address of this machine', (host) => {
    const external = Object.values(networkInterfaces())
      .flatMap((addresses = []) => addresses)
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map(({ address }) => address);
    const { hostname, port } = new URL(browserUrl(undefined, { host, port: 7350, usesTls: false }));
    expect(port).toBe('7350');
    expect(external.length > 0 ? external : ['127.0.0.1']).toContain(hostname);
  });

  it('is the public URL if there is one, without a slash at the end', () => {
    const address = { host: '0.0.0.0', port: 7350, usesTls: false };
    expect(browserUrl(new URL('https://lab.example.org'), address)).toBe('https://lab.example.org');
    expect(browserUrl(new URL('https://lab.example.org/train/'), address)).toBe('https://lab.example.org/train');
  });
});
