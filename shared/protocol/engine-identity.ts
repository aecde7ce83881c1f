// What other processes know about a worker's engine.

export interface EngineIdentity {
  /** Name of the engine: `tensorflow`, `wasm`, … */
  engine: string;
  /** Everything that its results depend on: version, device model, settings. Equal fingerprints compute equal bits. */
  fingerprint: string;
  /** The device, for display: `NVIDIA H100 80GB HBM3`, or a processor and a thread count. */
  device: string;
}

/** Number of workers with the same fingerprint. */
export interface EngineCount {
  engine: string;
  fingerprint: string;
  workers: number;
}
