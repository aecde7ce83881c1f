import { describe, expect, it } from 'vitest';
import {
  compareFingerprints,
  fingerprintOfDevice,
  hidesDevice,
  isProbed,
  withProbe,
  type DeviceFields,
} from '../../../../shared/protocol/engines/probed-fingerprint.js';

const intel = { vendor: 'intel', architecture: 'xe', device: '0x4680', description: 'Intel UHD 770' };
const hidden = { vendor: 'intel', architecture: 'xe' };
const probed = (fields: DeviceFields, probe = 'a') =>
  withProbe(fingerprintOfDevice('webgpu/1', fields), probe.repeat(64));

describe('two fingerprints', () => {
  it('with the same probe are exact if they are equal and no field is hidden', () => {
    expect(compareFingerprints(probed(intel), probed(intel))).toBe('exact');
    expect(compareFingerprints('wasm/1', 'wasm/1')).toBe('exact');
  });

  it('with the same probe match as probed if a field is hidden, also if they are equal', () => {
    expect(compareFingerprints(probed(intel), probed(hidden))).toBe('as-probed');
    expect(compareFingerprints(probed(hidden), probed(hidden))).toBe('as-probed');
  });

  it('with the same probe differ if a field that both expose differs, or the version', () => {
    expect(compareFingerprints(probed(intel), probed({ ...hidden, architecture: 'gen9' }))).toBe('different');
    expect(compareFingerprints(probed(intel), probed(intel).replace('webgpu/1', 'webgpu/2'))).toBe('different');
  });

  it('differ with different probes, and without', () => {
    expect(compareFingerprints(probed(intel, 'a'), probed(intel, 'b'))).toBe('different');
    const plain = fingerprintOfDevice('webgpu/1', hidden);
    expect(compareFingerprints(plain, probed(hidden))).toBe('different');
    expect(compareFingerprints('wasm/1', 'wasm/2')).toBe('different');
  });
});

it('a fingerprint lists the known fields and ends with 16 digits of the probe', () => {
  expect(probed({ ...hidden, description: 'a; probe=b' })).toBe(
    'webgpu/1; vendor=intel; architecture=xe; description=a, probe=b; probe=aaaaaaaaaaaaaaaa',
  );
  expect([isProbed(probed(hidden)), isProbed(fingerprintOfDevice('webgpu/1', hidden)), isProbed('wasm/1')]).toEqual([
    true,
    false,
    false,
  ]);
});

it('a field that is known to be empty is not hidden', () => {
  expect(hidesDevice(probed({ ...intel, architecture: '' }))).toBe(false);
  expect(hidesDevice(probed(hidden))).toBe(true);
  expect(hidesDevice('wasm/1')).toBe(false);
});
