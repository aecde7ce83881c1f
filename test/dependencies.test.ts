// What an installation consists of, read from package-lock.json: what SECURITY.md promises of it.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const entry = z.looseObject({
  version: z.string().optional(),
  resolved: z.string().optional(),
  license: z.string().optional(),
  hasInstallScript: z.boolean().optional(),
  dev: z.boolean().optional(),
  optional: z.boolean().optional(),
  devOptional: z.boolean().optional(),
});
const { packages } = z
  .looseObject({ packages: z.record(z.string(), entry) })
  .parse(JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')));
const nameOf = (place: string) => place.split('node_modules/').at(-1)!;
const all = Object.entries(packages).filter(([place]) => place !== '');
const needed = all.filter(([, { dev, optional, devOptional }]) => !(dev ?? optional ?? devOptional ?? false));

/** Whether a version is at least another; of whole numbers only. */
function isAtLeast(version: string, least: string): boolean {
  const [ours, theirs] = [version, least].map((text) => text.split('.').map(Number));
  const first = ours.findIndex((part, index) => part !== theirs[index]);
  return first === -1 || ours[first] > theirs[first];
}

describe('what every installation has', () => {
  it('is some thirty packages', () => expect(needed.length).toBeLessThan(36));

  it('runs nothing while it is installed', () => {
    expect(needed.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
  });

  it('is under licenses that ask for no more than their text', () => {
    const free = new Set(['MIT', 'ISC', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0']);
    const others = needed.filter(([, { license = '' }]) => !free.has(license)).map(([place]) => nameOf(place));
    // NIST's terms and those of the HDF Group: notices are kept, nothing more.
    expect(others).toEqual(['h5wasm']);
  });

  it('comes from the registry alone', () => {
    const elsewhere = all.filter(([, { resolved }]) => !/^https:\/\/registry\.npmjs\.org\/|^$/.test(resolved ?? ''));
    expect(elsewhere).toEqual([]);
  });
});

describe('what audits found', () => {
  it.each([
    ['tar', '7.5.21'],
    ['adm-zip', '0.6.0'],
    ['ws', '8.21.0'],
    ['protobufjs', '8.6.6'],
    ['minimatch', '3.1.4'],
    ['brace-expansion', '1.1.17'],
    ['form-data', '4.0.6'],
  ])('%s is nowhere older than %s', (name, least) => {
    const versions = all.filter(([place]) => nameOf(place) === name).map(([, { version = '' }]) => version);
    expect(versions.length).toBeGreaterThan(0);
    expect(versions.filter((version) => !isAtLeast(version, least))).toEqual([]);
  });
});
