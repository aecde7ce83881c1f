// Settings of glibc's allocator for TensorFlow. glibc reads them when a process starts.

const variable = 'GLIBC_TUNABLES';

/**
 * Settings that keep memory in the process. A step allocates and frees hundreds of buffers of one to two megabytes. By
 * default glibc requests each buffer from the kernel, in pages of 4 KiB, which causes page faults and TLB misses.
 */
const tunables = {
  /** Use huge pages if the kernel lets programs choose. */
  'glibc.malloc.hugetlb': '1',
  /** The maximum that glibc allows. Buffers below this size are allocated on the heap and reused. */
  'glibc.malloc.mmap_threshold': String(32 * 1024 ** 2),
  'glibc.malloc.trim_threshold': String(4_000_000_000),
  'glibc.malloc.top_pad': String(64 * 1024 ** 2),
};

/**
 * Returns variables to add to the environment of a process that computes with TensorFlow. Keeps the user's settings.
 * Returns an empty object if all settings are present, and on systems other than Linux. C libraries other than glibc
 * ignore the variable.
 */
export function memorySettings(
  environment: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): Record<string, string> {
  if (platform !== 'linux') return {};
  const current = environment[variable]?.split(':').filter((setting) => setting !== '') ?? [];
  const missing = Object.entries(tunables)
    .filter(([name]) => !current.some((setting) => setting.startsWith(`${name}=`)))
    .map(([name, value]) => `${name}=${value}`);
  return missing.length === 0 ? {} : { [variable]: [...current, ...missing].join(':') };
}
