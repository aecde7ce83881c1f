// Names of the engines that ship with Lockstep. worker/engines/registry.ts loads them. A program that uses the library
// may bring engines with other names.

/** In order of preference where speed is unknown. */
export const registeredEngines = ['tensorflow', 'wasm', 'wasm-fma', 'webgpu'] as const;
export type RegisteredEngine = (typeof registeredEngines)[number];

/** A registered engine, or `auto` for the fastest of them. */
export const engineNames = ['auto', ...registeredEngines] as const;
export type EngineName = (typeof engineNames)[number];

/** The engine that every browser offers. It has the same fingerprint on every machine. */
export const browserEngine = 'wasm' satisfies EngineName;
/** The engines that browsers may offer. */
export const browserEngines = [browserEngine, 'webgpu'] as const satisfies readonly EngineName[];
