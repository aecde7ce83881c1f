// What a worker computes with, as far as others must know it. Two workers of one fingerprint compute the same bits.

export interface EngineIdentity {
  /** The engine's name: `tensorflow`, `wasm`, … */
  engine: string;
  /** Everything its bits depend on: versions, device model, thread count where it matters. Equal fingerprints, equal bits. */
  fingerprint: string;
}
