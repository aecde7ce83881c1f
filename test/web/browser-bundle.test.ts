// The scripts that browsers load to join a run, as `npm run build` writes them.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../../dist/browser/', import.meta.url));
/** The scripts that a page needs to be a worker, without the join page. */
const entryPoints = ['index.js', 'compute.js', 'link.js', 'wasm-thread.js'];

interface Script {
  text: string;
  imports: readonly { path: string; kind: string }[];
}
/** Every script that the entry points import, and the imports of each. */
let scripts: Map<string, Script>;

beforeAll(async () => {
  // Resolves all imports without writing anything. Node's modules count as external: they are in the list of imports.
  const { metafile } = await build({
    absWorkingDir: folder,
    entryPoints,
    outdir: 'nowhere',
    bundle: true,
    format: 'esm',
    platform: 'node',
    metafile: true,
    write: false,
  });
  const read = Object.entries(metafile.inputs).map(async ([name, { imports }]) => {
    const text = await readFile(`${folder}${name}`, 'utf8');
    return [name, { text, imports }] as const;
  });
  scripts = new Map(await Promise.all(read));
});

describe('the scripts of a worker in a browser', () => {
  it('import only each other', () => {
    expect([...scripts.keys()]).toEqual(expect.arrayContaining(entryPoints));
    const imported = [...scripts.values()].flatMap(({ imports }) => imports);
    expect(imported.filter(({ path }) => !scripts.has(path))).toEqual([]);
  });

  it('contain no Node polyfills', () => {
    const ofNode = /\bnode:|\bprocess\.|\bBuffer\b|\brequire\(|\bsetImmediate\b|\b__dirname\b/;
    for (const [name, { text }] of scripts) expect([name, ofNode.exec(text)?.[0]]).toEqual([name, undefined]);
  });

  it('take less than 100 kB together with the kernels, compressed with gzip', async () => {
    const kernels = ['kernels.wasm', 'rounding.wasm', 'update.wasm'].map((name) => readFile(`${folder}${name}`));
    const loadedAtOnce = staticallyImported(entryPoints).map((name) => scripts.get(name)!.text);
    const files = [...loadedAtOnce, ...(await Promise.all(kernels))];
    const bytes = files.reduce((sum, file) => sum + gzipSync(file).length, 0);
    expect(bytes).toBeLessThan(100_000);
    // A lower bound, so that the test notices when it reads something else.
    expect(bytes).toBeGreaterThan(50_000);
  });

  it('load the kernels of WebGPU only on request', () => {
    const withWgsl = (names: Iterable<string>) =>
      [...names].filter((name) => /@workgroup_size/.test(scripts.get(name)!.text));
    expect(withWgsl(scripts.keys())).toHaveLength(1);
    expect(withWgsl(staticallyImported(entryPoints))).toEqual([]);
  });
});

/** Returns these scripts and those that they import when they are loaded. */
function staticallyImported(names: readonly string[]): string[] {
  const found = new Set(names);
  for (const name of found) {
    for (const { path, kind } of scripts.get(name)!.imports) {
      if (kind === 'import-statement') found.add(path);
    }
  }
  return [...found];
}
