// Makes kernels that import a memory of one thread import a shared memory instead. AssemblyScript compiles the kernels to
// the same code for both; only the type of the imported memory differs.

/** Returns an import section of only the memory `env.memory`. */
function importSection(limits: readonly number[]): Uint8Array {
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const imports = [1, ...name('env'), ...name('memory'), 2, ...limits];
  return Uint8Array.of(2, imports.length, ...imports);
}

/** No maximum; at least 0 pages. */
const unshared = importSection([0, 0]);
/** Shared, which requires a maximum; at least 1 page, at most 65,536, which LEB128 encodes in three bytes. */
const shared = importSection([3, 1, 0x80, 0x80, 4]);

/** Throws an Error if the kernels do not import exactly one unshared memory. */
export function withSharedMemory(kernels: Uint8Array): Uint8Array<ArrayBuffer> {
  const start = kernels.findIndex((_, index) => unshared.every((byte, offset) => kernels[index + offset] === byte));
  if (start === -1) throw new Error('the kernels do not import one unshared memory');
  const code = new Uint8Array(kernels.length - unshared.length + shared.length);
  code.set(kernels.subarray(0, start));
  code.set(shared, start);
  code.set(kernels.subarray(start + unshared.length), start + shared.length);
  return code;
}
