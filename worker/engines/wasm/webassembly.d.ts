// The part of the WebAssembly interface that this engine uses: TypeScript declares it for browsers only.
declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]?: string;
  }
  interface Memory {
    readonly buffer: ArrayBuffer | SharedArrayBuffer;
    grow(pages: number): number;
  }
  interface Instance {
    readonly exports: Readonly<Record<string, unknown>>;
  }
  const Memory: new (options: { initial: number; maximum?: number; shared?: boolean }) => Memory;
  const Instance: new (module: Module, imports: Record<string, Record<string, unknown>>) => Instance;
  function compile(bytes: Uint8Array): Promise<Module>;
}
