import { describe, expect, it } from 'vitest';
import { jitterColors, jitterOrders } from '../../../worker/computation/color-jitter.js';

const none = { brightness: 1, contrast: 1, saturation: 1 };

/** Returns an image of two pixels, (100, 50, 200) and (0, 250, 10), after the changes. */
function changed(factors: Partial<typeof none>, order = 0): number[] {
  const planes = Uint8Array.of(100, 0, 50, 250, 200, 10);
  jitterColors(planes, 3, { ...none, ...factors }, order);
  return [...planes];
}

describe('color jitter', () => {
  it('multiplies by the brightness, up to white', () => {
    // 50 × 1.5 = 75, 250 × 1.5 = 375
    expect(changed({ brightness: 1.5 })).toEqual([150, 0, 75, 255, 255, 15]);
    expect(changed({ brightness: 0 })).toEqual([0, 0, 0, 0, 0, 0]);
    // 50 × 0.25 = 12.5, which is rounded up.
    expect(changed({ brightness: 0.25 })).toEqual([25, 0, 13, 63, 50, 3]);
  });

  it("blends with the image's mean gray for contrast", () => {
    // The grays are 0.299 × 100 + 0.587 × 50 + 0.114 × 200 = 82.05 and 0.587 × 250 + 0.114 × 10 = 147.89; their mean is
    // 114.97. Half of it is 57.485.
    expect(changed({ contrast: 0 })).toEqual([115, 115, 115, 115, 115, 115]);
    expect(changed({ contrast: 0.5 })).toEqual([107, 57, 82, 182, 157, 62]);
    // 2 × 100 - 114.97 = 85.03; 2 × 0 - 114.97 < 0; 2 × 50 - 114.97 < 0; 2 × 250 - 114.97 > 255
    expect(changed({ contrast: 2 })).toEqual([85, 0, 0, 255, 255, 0]);
  });

  it("blends with each pixel's gray for saturation", () => {
    expect(changed({ saturation: 0 })).toEqual([82, 148, 82, 148, 82, 148]);
    // (100 + 82.05) / 2 = 91.025, (0 + 147.89) / 2 = 73.945, …
    expect(changed({ saturation: 0.5 })).toEqual([91, 74, 66, 199, 141, 79]);
  });

  it('applies the changes in the given order', () => {
    expect(new Set(jitterOrders.map((order) => order.join())).size).toBe(6);
    const factors = { brightness: 1.9, contrast: 0.4, saturation: 0.3 };
    const results = jitterOrders.map((changes, order) => {
      // One after another, each as its own jitter.
      const planes = Uint8Array.of(100, 0, 50, 250, 200, 10);
      for (const change of changes) jitterColors(planes, 3, { ...none, [change]: factors[change] }, 0);
      expect(changed(factors, order)).toEqual([...planes]);
      return planes.join();
    });
    expect(new Set(results).size).toBeGreaterThan(3);
  });

  it('changes the brightness and contrast of gray images', () => {
    const planes = Uint8Array.of(100, 200);
    // 50 and 100, whose mean is 75; (50 + 75) / 2 = 62.5, (100 + 75) / 2 = 87.5
    jitterColors(planes, 1, { brightness: 0.5, contrast: 0.5, saturation: 0 }, 0);
    expect([...planes]).toEqual([63, 88]);
  });
});
