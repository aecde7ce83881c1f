// How glibc's allocator serves TensorFlow best. It reads this only when a process starts, so it is for whoever starts one.

const variable = 'GLIBC_TUNABLES';

/**
 * A step takes and gives back hundreds of buffers of a megabyte or two. By default glibc asks the kernel for each of them
 * anew, in pages of 4 KiB, which costs page faults and misses of the address cache.
 */
const tunables = {
  /** Huge pages where the kernel leaves them to the program. */
  'glibc.malloc.hugetlb': '1',
  /** The most that glibc takes: smaller buffers come from the heap, and go back to it. */
  'glibc.malloc.mmap_threshold': String(32 * 1024 ** 2),
  'glibc.malloc.trim_threshold': String(4_000_000_000),
  'glibc.malloc.top_pad': String(64 * 1024 ** 2),
};

/**
 * What to add to the environment of a process that computes with TensorFlow; nothing where it is there already, and on
 * systems that are not Linux. What a person has set stays. C libraries other than glibc ignore it.
 */
export function memorySettings(
  environment: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): Record<string, string> {
  if (platform !== 'linux') return {};
  const given = environment[variable]?.split(':').filter((setting) => setting !== '') ?? [];
  const missing = Object.entries(tunables)
    .filter(([name]) => !given.some((setting) => setting.startsWith(`${name}=`)))
    .map(([name, value]) => `${name}=${value}`);
  return missing.length === 0 ? {} : { [variable]: [...given, ...missing].join(':') };
}
