import { expect, it } from 'vitest';
import { memorySettings } from '../../../../worker/engines/tensorflow/memory-settings.js';

const all =
  'glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:' +
  'glibc.malloc.trim_threshold=4000000000:glibc.malloc.top_pad=67108864';

it("is glibc's variable, on Linux alone", () => {
  expect(memorySettings({}, 'linux')).toEqual({ GLIBC_TUNABLES: all });
  expect(memorySettings({ GLIBC_TUNABLES: '' }, 'linux')).toEqual({ GLIBC_TUNABLES: all });
  expect(memorySettings({}, 'darwin')).toEqual({});
});

it('leaves what a person has set, and adds what is missing', () => {
  const given = 'glibc.malloc.hugetlb=0:glibc.malloc.check=1';
  const { GLIBC_TUNABLES: settings } = memorySettings({ GLIBC_TUNABLES: given }, 'linux');
  expect(settings).toBe(`${given}:${all.slice('glibc.malloc.hugetlb=1:'.length)}`);
});

it('is nothing where all of it is there: a process that was started with it starts no other', () => {
  expect(memorySettings({ GLIBC_TUNABLES: all }, 'linux')).toEqual({});
});
