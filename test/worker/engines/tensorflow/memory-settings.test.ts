import { expect, it } from 'vitest';
import { memorySettings } from '../../../../worker/engines/tensorflow/memory-settings.js';

const all =
  'glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:' +
  'glibc.malloc.trim_threshold=4000000000:glibc.malloc.top_pad=67108864';

it("sets glibc's variable on Linux only", () => {
  expect(memorySettings({}, 'linux')).toEqual({ GLIBC_TUNABLES: all });
  expect(memorySettings({ GLIBC_TUNABLES: '' }, 'linux')).toEqual({ GLIBC_TUNABLES: all });
  expect(memorySettings({}, 'darwin')).toEqual({});
});

it('keeps what the user has set and adds what is missing', () => {
  const given = 'glibc.malloc.hugetlb=0:glibc.malloc.check=1';
  const { GLIBC_TUNABLES: settings } = memorySettings({ GLIBC_TUNABLES: given }, 'linux');
  expect(settings).toBe(`${given}:${all.slice('glibc.malloc.hugetlb=1:'.length)}`);
});

it('returns nothing if all settings are present, so that a process started with them does not start another one', () => {
  expect(memorySettings({ GLIBC_TUNABLES: all }, 'linux')).toEqual({});
});
