import { describe, expect, it } from 'vitest';
import { withBrowserEngine } from '../../../coordinator/run/resume.js';
import { resolveConfig, type ConfigInput } from '../../../shared/config/config.js';

/** Returns the engine of a run with a join link. */
const engineWith = (input: ConfigInput) =>
  withBrowserEngine({ config: resolveConfig(input), checkpoint: undefined, overridden: [] }).config.engine;

describe('a run with a join link', () => {
  it('uses the engine that browsers have if nothing else is specified', () => {
    expect(engineWith({})).toBe('wasm');
    expect(engineWith({ engine: 'auto' })).toBe('wasm');
    expect(engineWith({ fingerprint: 'wasm/1-2c55c802' })).toBe('wasm');
  });

  it('keeps an engine that is specified, and one that a resumed run has used', () => {
    expect(engineWith({ engine: 'wasm-fma' })).toBe('wasm-fma');
    expect(engineWith({ fingerprint: 'wasm-fma/1-2c55c802' })).toBe('auto');
    expect(engineWith({ fingerprint: 'tensorflow/4.22' })).toBe('auto');
  });
});
