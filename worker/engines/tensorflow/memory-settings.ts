// Settings of glibc's allocator for TensorFlow. glibc reads them when a process starts.

const variable = 'GLIBC_TUNABLES';

/**
 * A step allocates and frees hundreds of buffers of a megabyte or two. By default glibc requests each of them from the
 * kernel, in pages of 4 KiB, at the cost of page faults and TLB misses.
 */
const tunables = {
  /** Use huge pages where the kernel leaves the choice to programs. */
  'glibc.malloc.hugetlb': '1',
  /** glibc's maximum. Smaller buffers come from the heap and are returned to it. */
  'glibc.malloc.mmap_threshold': String(32 * 1024 ** 2),
  'glibc.malloc.trim_threshold': String(4_000_000_000),
  'glibc.malloc.top_pad': String(64 * 1024 ** 2),
};

/**
 * Variables to add to the environment of a process that computes with TensorFlow. Keeps what the user has set. Returns
 * nothing if all settings are present, or on systems other than Linux. Other C libraries ignore the variable.
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
