// What shared code needs of the platform that it runs on: Node (host.ts) or a browser (host.browser.ts).

/** A SHA-256 computation. */
export interface Sha256 {
  update(bytes: Uint8Array): this;
  /** Returns the hash of everything passed to update(), in hex. Call it once. */
  digest(): string;
}

export interface Platform {
  /** Version of the package. */
  version: string;
  /**
   * Returns monotonic time in milliseconds, by a clock that all threads and processes on the machine share.
   * (performance.now() starts at 0 in each thread.)
   */
  machineMs: () => number;
  /** Lets the process exit while this timer is running. */
  unref: (timer: ReturnType<typeof setInterval>) => void;
  /** Resolves after the messages and socket data that are already waiting have been handled. */
  yieldToEvents: () => Promise<void>;
  createSha256: () => Sha256;
  /** Returns the SHA-256 of the bytes in hex, computed in the fastest way. */
  sha256Of: (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;
  /**
   * Reads a build output that is loaded at run time, such as a compiled kernel. In a browser, all of them are in the folder
   * of the scripts.
   * @param importer `import.meta.url` of the importing file
   */
  readBuiltFile: (name: string, importer: string) => Promise<Uint8Array<ArrayBuffer>>;
  /** Returns memory with arbitrary contents. */
  allocate: (bytes: number) => Uint8Array<ArrayBuffer>;
  /** Size of this thread's buffers in bytes. */
  bufferBytes: () => number;
  /** Collects this thread's young generation; undefined where garbage cannot be collected on request. */
  readonly collectYoungGeneration: (() => void) | undefined;
}
