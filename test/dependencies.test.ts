// Checks the contents of an installation, read from package-lock.json, against the promises in SECURITY.md.
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
const nameOf = (location: string) => location.split('node_modules/').at(-1)!;
const all = Object.entries(packages).filter(([location]) => location !== '');
const installed = all.filter(([, { dev, devOptional }]) => !(dev ?? devOptional ?? false));
const required = installed.filter(([, { optional }]) => optional !== true);

/** Returns whether a version is at least the minimum. Both consist of whole numbers separated by dots. */
function isAtLeast(version: string, minimum: string): boolean {
  const [ours, theirs] = [version, minimum].map((text) => text.split('.').map(Number));
  const first = ours.findIndex((number, index) => number !== theirs[index]);
  return first === -1 || ours[first] > theirs[first];
}

describe('an installation', () => {
  it('requires about thirty packages', () => expect(required.length).toBeLessThan(36));

  it('runs no install script of a required package', () => {
    expect(required.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
  });

  it('has only two optional components: the native parts of msgpackr and sharp', () => {
    const optional = installed.filter(([, entry]) => entry.optional).map(([location]) => nameOf(location));
    const parts =
      /^(?:@msgpackr-extract\/.+|msgpackr-extract|node-gyp-build-optional-packages|@img\/sharp-.+|@emnapi\/runtime)$/;
    expect(optional.filter((name) => !parts.test(name))).toEqual([]);
  });

  it('runs no install script of sharp, whose native parts are packages', () => {
    const sharp = all.filter(([location]) => /^(?:sharp|@img\/.+)$/.test(nameOf(location)));
    expect(sharp.length).toBeGreaterThan(20);
    expect(sharp.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
  });

  it('has only permissive licenses', () => {
    const permissive = new Set(['MIT', 'ISC', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0']);
    const others = required.filter(([, { license = '' }]) => !permissive.has(license));
    // h5wasm has the licenses of NIST and the HDF Group, which are also permissive.
    expect(others.map(([location]) => nameOf(location))).toEqual(['h5wasm']);
  });

  it('comes only from the npm registry', () => {
    const elsewhere = all.filter(([, { resolved }]) => !/^https:\/\/registry\.npmjs\.org\/|^$/.test(resolved ?? ''));
    expect(elsewhere).toEqual([]);
  });
});

describe('vulnerabilities found by audits', () => {
  it.each([
    ['tar', '7.5.21'],
    ['ws', '8.21.0'],
    ['protobufjs', '8.6.6'],
  ])('are fixed: every copy of %s is version %s or newer', (name, minimum) => {
    const versions = all.filter(([location]) => nameOf(location) === name).map(([, { version = '' }]) => version);
    expect(versions.length).toBeGreaterThan(0);
    expect(versions.filter((version) => !isAtLeast(version, minimum))).toEqual([]);
  });
});
