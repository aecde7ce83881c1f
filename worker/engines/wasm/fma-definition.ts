// The wasm-fma engine as the registry sees it.
import { wasmDefinition } from './definition.js';

export const definition = wasmDefinition('wasm-fma');
