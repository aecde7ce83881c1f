// Computes the difference between two JSON values as a JSON value, so that pages receive only what has changed. Pure.

/**
 * `[value]` replaces the old value. An object maps the names of an object's changed members, or the indices of an
 * array's changed elements, to their differences.
 */
export type Difference = readonly [value: unknown] | { readonly [member: string]: Difference };

/**
 * Returns the difference, or undefined if nothing has changed. Replaces an object as a whole if members were added or
 * removed, and an array if its length has changed.
 */
export function differenceBetween(before: unknown, after: unknown): Difference | undefined {
  if (Object.is(before, after)) return undefined;
  if (!isComposite(before) || !isComposite(after) || Array.isArray(before) !== Array.isArray(after)) return [after];
  const members = Object.keys(after);
  if (members.length !== Object.keys(before).length) return [after];
  let changed: Record<string, Difference> | undefined;
  for (const member of members) {
    if (!Object.hasOwn(before, member)) return [after];
    const difference = differenceBetween(before[member], after[member]);
    if (difference === undefined) continue;
    // Without a prototype, any name can be a member, even `__proto__`.
    changed ??= Object.create(null) as Record<string, Difference>;
    changed[member] = difference;
  }
  return changed;
}

/** Returns the new value without modifying the old one. */
export function applyDifference(before: unknown, difference: Difference): unknown {
  if (isReplacement(difference)) return difference[0];
  const after = (member: string, value: unknown) =>
    Object.hasOwn(difference, member) ? applyDifference(value, difference[member]) : value;
  if (Array.isArray(before)) return before.map((element: unknown, index) => after(String(index), element));
  return Object.fromEntries(Object.entries(before as object).map(([member, value]) => [member, after(member, value)]));
}

function isReplacement(difference: Difference): difference is readonly [unknown] {
  return Array.isArray(difference);
}

function isComposite(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
