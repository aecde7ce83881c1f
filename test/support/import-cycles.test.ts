import { describe, expect, it } from 'vitest';
import { findCycle, findFolderCycles, type Edge } from './import-cycles.js';

const edges = (...lines: string[]): Edge[] =>
  lines.map((line) => {
    const [from, to] = line.split(' ');
    return { from, to };
  });

describe('findCycle', () => {
  it('returns the chain of files that leads back to its start', () => {
    expect(findCycle(edges('a.ts b.ts', 'b.ts c.ts', 'c.ts b.ts'))).toEqual(['b.ts', 'c.ts', 'b.ts']);
  });

  it('finds none if two files import the same third file', () => {
    expect(findCycle(edges('a.ts b.ts', 'a.ts c.ts', 'b.ts d.ts', 'c.ts d.ts'))).toBeUndefined();
  });
});

describe('findFolderCycles', () => {
  it('finds two folders that import each other through different files', () => {
    expect(findFolderCycles(edges('x/a/1.ts x/b/1.ts', 'x/b/2.ts x/a/2.ts'))).toEqual([
      'x/a/ and x/b/ import each other: x/a/1.ts imports x/b/1.ts',
      'x/b/ and x/a/ import each other: x/b/2.ts imports x/a/2.ts',
    ]);
  });

  it('finds a cycle of three folders, and one of a folder and a file next to it', () => {
    expect(findFolderCycles(edges('a/1.ts b/1.ts', 'b/1.ts c/1.ts', 'c/1.ts a/1.ts'))).toHaveLength(3);
    expect(findFolderCycles(edges('a.ts b/1.ts', 'b/2.ts a.ts'))).toHaveLength(2);
  });

  it('ignores imports in one direction, within a folder, or between files in the same folder', () => {
    const oneWay = edges('a/1.ts b/1.ts', 'a/2.ts b/2.ts', 'b/1.ts c/1.ts', 'a/1.ts c/1.ts');
    expect(findFolderCycles([...oneWay, ...edges('a/1.ts a/2.ts', 'a/2.ts a/1.ts')])).toEqual([]);
  });
});
