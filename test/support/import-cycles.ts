// Finds import cycles between files and between sibling folders. Pure functions.

/** Import of one file (`to`) by another (`from`), as paths. */
export interface Edge {
  from: string;
  to: string;
}

/** Returns a chain of imports that leads from a file back to itself; undefined if there is none. */
export function findCycle(edges: readonly Edge[]): string[] | undefined {
  const targets = targetsIn(edges);
  const finished = new Set<string>();
  function follow(file: string, chain: readonly string[]): string[] | undefined {
    if (chain.includes(file)) return [...chain.slice(chain.indexOf(file)), file];
    if (finished.has(file)) return undefined;
    for (const target of targets.get(file) ?? []) {
      const cycle = follow(target, [...chain, file]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(file);
    return undefined;
  }
  for (const file of targets.keys()) {
    const cycle = follow(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/**
 * Lists siblings that import each other, directly or through others, with an example import for each pair. Siblings are
 * two folders, or a folder and a file next to it. An import counts for the siblings at which its two paths diverge: if
 * a/b/c.ts imports a/d.ts, the siblings are a/b/ and a/d.ts. Use findCycle for cycles between files.
 */
export function findFolderCycles(edges: readonly Edge[]): string[] {
  const siblings = edges.map((edge) => ({ ...siblingsOf(edge), edge })).filter(({ from, to }) => from !== to);
  const examples = new Map(siblings.map(({ from, to, edge }) => [`${from} ${to}`, { from, to, edge }]));
  const targets = targetsIn(siblings);
  const isFolder = (name: string) => name.endsWith('/');
  return [...examples.values()]
    .filter(({ from, to }) => (isFolder(from) || isFolder(to)) && isReachable(from, to, targets))
    .map(({ from, to, edge }) => `${from} and ${to} import each other: ${edge.from} imports ${edge.to}`);
}

/** Returns the paths of the two siblings. A folder's path ends with a slash. */
function siblingsOf({ from, to }: Edge): Edge {
  const [a, b] = [from, to].map((file) => file.split('/'));
  let depth = 0;
  while (a[depth] === b[depth] && depth < a.length - 1 && depth < b.length - 1) depth++;
  const upTo = (parts: string[]) => parts.slice(0, depth + 1).join('/') + (parts.length > depth + 1 ? '/' : '');
  return { from: upTo(a), to: upTo(b) };
}

function targetsIn(edges: readonly Edge[]): Map<string, Set<string>> {
  const targets = new Map<string, Set<string>>();
  for (const { from, to } of edges) targets.set(from, (targets.get(from) ?? new Set()).add(to));
  return targets;
}

function isReachable(goal: string, start: string, targets: Map<string, Set<string>>): boolean {
  const seen = new Set([start]);
  // Iteration over a set also visits elements that are added during the iteration.
  for (const reached of seen) for (const target of targets.get(reached) ?? []) seen.add(target);
  return seen.has(goal);
}
