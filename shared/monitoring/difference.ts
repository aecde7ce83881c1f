// The difference between two JSON values, as a JSON value, so that pages are sent only what has changed. Pure.

/** `[value]` replaces a value; an object has the differences of an object's members or an array's elements. */
export type Difference = readonly [value: unknown] | { readonly [member: string]: Difference };

/** Undefined if nothing has changed. Objects whose members have changed, and arrays whose length has, are replaced as a whole. */
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
    // No prototype, so that every name can be a member.
    changed ??= Object.create(null) as Record<string, Difference>;
    changed[member] = difference;
  }
  return changed;
}

/** Returns the new value. Does not modify the old one. */
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
