// The model and batch whose results golden-bits.ts holds the hashes of.
import type { ModelSpec } from '../../../../shared/network/layout.js';

export const resNet20 = {
  depth: 20,
  initialFilters: 16,
  shortcut: 'projection',
  convBias: true,
} as const satisfies Partial<ModelSpec>;
export const resNet20Images = 9;
