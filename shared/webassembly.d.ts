// Declares the part of the WebAssembly API that this project uses. TypeScript declares the API only in its `dom`
// library.
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
  const Module: new (bytes: Uint8Array) => Module;
  function compile(bytes: Uint8Array): Promise<Module>;
}
