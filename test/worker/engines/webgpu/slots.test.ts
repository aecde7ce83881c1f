import { describe, expect, it } from 'vitest';
import { Extent, Tensor } from '../../../../worker/engines/webgpu/memory/resources.js';
import { planSlots } from '../../../../worker/engines/webgpu/memory/slots.js';

/** A tensor with this many elements per image, used from one dispatch to another. */
function tensor(perImage: number, first: number, last: number): Tensor {
  return Object.assign(new Tensor(new Extent(perImage)), { first, last });
}

describe('planSlots', () => {
  it('puts tensors that are used one after the other into one slot, and others into their own', () => {
    const [early, late, throughout] = [tensor(8, 0, 1), tensor(4, 2, 3), tensor(2, 0, 3)];
    const { slots, slotOf } = planSlots([[early, late, throughout]], 10);
    expect(slotOf.get(late)).toBe(slotOf.get(early));
    expect(slotOf.get(throughout)).not.toBe(slotOf.get(early));
    // 10 images × 8 and × 2 elements of 4 bytes.
    expect(slots.map(({ bytes }) => bytes).toSorted((a, b) => a - b)).toEqual([80, 320]);
  });

  it('does not let a dispatch write the slot that it reads', () => {
    const [read, written] = [tensor(4, 0, 1), tensor(4, 1, 2)];
    const { slotOf } = planSlots([[read, written]], 1);
    expect(slotOf.get(written)).not.toBe(slotOf.get(read));
  });

  it('shares slots between programs', () => {
    const [training, evaluation] = [tensor(4, 0, 9), tensor(6, 0, 9)];
    const { slots } = planSlots([[training], [evaluation]], 2);
    expect(slots).toEqual([{ bytes: 48 }]);
  });

  it('prefers the smallest slot that is large enough', () => {
    const [large, small, later] = [tensor(100, 0, 1), tensor(10, 0, 1), tensor(8, 2, 3)];
    const { slotOf } = planSlots([[large, small, later]], 1);
    expect(slotOf.get(later)).toBe(slotOf.get(small));
  });
});
