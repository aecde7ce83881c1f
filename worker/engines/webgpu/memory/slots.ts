// Memory for tensors: tensors that are never needed at the same time share a slot. Pure.
import type { Tensor } from './resources.js';

/** A buffer that holds one tensor at a time. */
export interface Slot {
  bytes: number;
}

export interface SlotPlan {
  readonly slots: readonly Slot[];
  readonly slotOf: ReadonlyMap<Tensor, number>;
}

/**
 * Assigns the tensors of programs to slots. Only one program runs at a time, so that all programs share all slots.
 * @param images number of images
 */
export function planSlots(programs: readonly Iterable<Tensor>[], images: number): SlotPlan {
  const slots: Slot[] = [];
  const slotOf = new Map<Tensor, number>();
  for (const tensors of programs) {
    /** Last dispatch that uses the tensor in each slot. */
    const busyUntil = slots.map(() => -1);
    for (const tensor of [...tensors].toSorted((a, b) => a.first - b.first)) {
      const bytes = tensor.bytes(images);
      const free = slots.map((_, index) => index).filter((index) => busyUntil[index] < tensor.first);
      const index = bestOf(slots, free, bytes) ?? slots.push({ bytes: 0 }) - 1;
      slots[index].bytes = Math.max(slots[index].bytes, bytes);
      busyUntil[index] = tensor.last;
      slotOf.set(tensor, index);
    }
  }
  return { slots, slotOf };
}

/** Returns the smallest slot that is large enough, or else the largest; undefined if none is free. */
function bestOf(slots: readonly Slot[], free: readonly number[], bytes: number): number | undefined {
  const large = free.filter((index) => slots[index].bytes >= bytes);
  if (large.length > 0) return large.reduce((best, each) => (slots[each].bytes < slots[best].bytes ? each : best));
  if (free.length === 0) return undefined;
  return free.reduce((best, each) => (slots[each].bytes > slots[best].bytes ? each : best));
}
