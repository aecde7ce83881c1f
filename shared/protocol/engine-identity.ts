// What a worker computes with, as far as others must know it. Two workers of one fingerprint compute the same bits.

export interface EngineIdentity {
  /** The engine's name: `tensorflow`, `wasm`, … */
  engine: string;
  /** Everything its bits depend on: versions, device model, thread count where it matters. Equal fingerprints, equal bits. */
  fingerprint: string;
  /** What it computes on, for people: `NVIDIA H100 80GB HBM3`, or a processor and how many threads of it. */
  device: string;
}

/** Workers of one fingerprint, whatever devices they have. */
export interface EngineCount {
  engine: string;
  fingerprint: string;
  workers: number;
}
