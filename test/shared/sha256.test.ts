import { expect, it } from 'vitest';
import { sha256Of } from '../../shared/sha256.js';

it('sha256Of returns the SHA-256 in hex', () => {
  // The SHA-256 of the empty message, from the examples for FIPS 180-4.
  expect(sha256Of(new Uint8Array())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});
