// What has changed between two values of JSON, as a value of JSON itself: so that a page is told that alone. Pure.

/** `[value]` is another value; an object holds what has changed in members of an object or elements of an array. */
export type Difference = readonly [value: unknown] | { readonly [member: string]: Difference };

/** Undefined where nothing has changed. Objects with other members than before and longer or shorter arrays are told whole. */
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
    // Without a prototype any name is a member's.
    changed ??= Object.create(null) as Record<string, Difference>;
    changed[member] = difference;
  }
  return changed;
}

/** What was before is left as it is. */
export function applyDifference(before: unknown, difference: Difference): unknown {
  if (isWhole(difference)) return difference[0];
  const after = (member: string, value: unknown) =>
    Object.hasOwn(difference, member) ? applyDifference(value, difference[member]) : value;
  if (Array.isArray(before)) return before.map((element: unknown, index) => after(String(index), element));
  return Object.fromEntries(Object.entries(before as object).map(([member, value]) => [member, after(member, value)]));
}

function isWhole(difference: Difference): difference is readonly [unknown] {
  return Array.isArray(difference);
}

function isComposite(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
