// Assigns memory to tensors. Tensors of the same form share memory if no pass uses both: their borders and additional
// channels stay 0. Pure.
import { alignToCacheLine, formKey, imageBytes, type Allocator, type Form, type Tensor } from './tensor.js';

/** Memory for one tensor of this form at a time. */
interface Slot {
  form: Form;
  tensors: Tensor[];
}

/** Returns slots for the tensors of a program, so that two tensors share a slot only if their passes do not overlap. */
function assignSlots(tensors: Iterable<Tensor>): Slot[] {
  const slots: Slot[] = [];
  const free = new Map<string, Slot[]>();
  const live: { tensor: Tensor; slot: Slot }[] = [];
  const inOrder = [...tensors].toSorted((a, b) => a.first - b.first);
  for (const tensor of inOrder) {
    for (let i = live.length - 1; i >= 0; i--) {
      const { tensor: other, slot } = live[i];
      if (other.last >= tensor.first) continue;
      live.splice(i, 1);
      free.get(formKey(other.form))!.push(slot);
    }
    const key = formKey(tensor.form);
    if (!free.has(key)) free.set(key, []);
    // Take the memory that was used last, because it may still be in the cache.
    let slot = free.get(key)!.pop();
    if (slot === undefined) {
      slot = { form: tensor.form, tensors: [] };
      slots.push(slot);
    }
    slot.tensors.push(tensor);
    live.push({ tensor, slot });
  }
  return slots;
}

/**
 * Slots of several programs that use the same memory, one at a time. The slot with number n of one program and that of
 * another program share memory if their form is the same.
 */
export class SharedSlots {
  readonly #slots = new Map<string, Slot[]>();

  addProgram(tensors: Iterable<Tensor>): void {
    const taken = new Map<string, number>();
    for (const { form, tensors: own } of assignSlots(tensors)) {
      const key = formKey(form);
      const slots = this.#slots.get(key) ?? [];
      this.#slots.set(key, slots);
      const index = taken.get(key) ?? 0;
      taken.set(key, index + 1);
      if (index === slots.length) slots.push({ form, tensors: [] });
      slots[index].tensors.push(...own);
    }
  }

  /** Sets the addresses of all tensors. */
  place(images: number, allocator: Allocator): void {
    for (const { form, tensors } of [...this.#slots.values()].flat()) {
      const address = allocator.take(images * imageBytes(form));
      for (const tensor of tensors) tensor.address = address;
    }
  }
}

/**
 * Private memory of a thread. A pass has a region for each of its private tensors; passes share the regions, each for
 * tensors of one form.
 */
export class PrivateRegions {
  readonly #regions = new Map<string, { bytes: number; tensors: Tensor[] }>();

  /** @param images number of images in a block of the tensor's pass */
  add(tensor: Tensor, indexInPass: number, images: number): void {
    const key = `${formKey(tensor.form)} ${indexInPass}`;
    const region = this.#regions.get(key) ?? { bytes: 0, tensors: [] };
    region.bytes = Math.max(region.bytes, images * imageBytes(tensor.form));
    region.tensors.push(tensor);
    this.#regions.set(key, region);
  }

  /** Sets the offsets of all tensors, and returns the size of the memory. */
  place(): number {
    let next = 0;
    for (const { bytes, tensors } of this.#regions.values()) {
      for (const tensor of tensors) tensor.address = next;
      next = alignToCacheLine(next + bytes);
    }
    return next;
  }
}
