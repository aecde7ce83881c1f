// The direction of imports, and where the outside world is touched. Read from the sources' text.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const folders = ['shared', 'coordinator', 'worker', 'single-node', 'inference', 'web', 'cli'];
/** AssemblyScript: another language, with rules of its own. */
const otherLanguage = ['coordinator/optimizer/assembly/', 'worker/engines/wasm/assembly/'];

interface Import {
  /** A source file relative to the root, or a package's name. */
  target: string;
  /** Gone when the types are. */
  isType: boolean;
}

interface Source {
  file: string;
  /** Without comments. */
  text: string;
  imports: readonly Import[];
}

const sources: readonly Source[] = [
  ...readdirSync(root).filter((name) => name.endsWith('.ts')),
  ...folders.flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
      path.posix.join(folder, name),
    ),
  ),
]
  .filter((file) => /(?<!\.d)\.tsx?$/.test(file) && !otherLanguage.some((folder) => file.startsWith(folder)))
  .toSorted()
  .map(readSource);

function readSource(file: string): Source {
  const text = readFileSync(path.join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$|\s\/\/ .*$/gm, '');
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm);
  const calls = text.matchAll(/\bimport\('([^']+)'\)/g);
  const urls = text.matchAll(/new URL\('(\.[^']+\.js)', import\.meta\.url\)/g);
  const imports = [
    ...[...statements].map((match) => ({ target: resolve(file, match[2]), isType: match[1] !== undefined })),
    ...[...calls].map((match) => ({ target: resolve(file, match[1]), isType: false })),
    // A worker thread's or a child process's program: not loaded into this one, so it makes no cycle.
    ...[...urls].map((match) => ({ target: resolve(file, match[1]), isType: true })),
  ];
  return { file, text, imports };
}

function resolve(file: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  const source = path.posix.join(path.posix.dirname(file), specifier).replace(/\.js$/, '.ts');
  return existsSync(path.join(root, `${source}x`)) ? `${source}x` : source;
}

/** `from -> to` for every import that is one of these. */
function importsWhere(isMeant: (source: Source, imported: Import) => boolean): string[] {
  return sources.flatMap((source) =>
    source.imports
      .filter((imported) => isMeant(source, imported))
      .map((imported) => `${source.file} -> ${imported.target}`),
  );
}

const filesWith = (pattern: RegExp) => sources.filter(({ text }) => pattern.test(text)).map(({ file }) => file);
const filesImporting = (isMeant: (imported: Import) => boolean) =>
  sources.filter(({ imports }) => imports.some(isMeant)).map(({ file }) => file);

describe('what this test reads', () => {
  it('is every source, with its imports', () => {
    const read = new Map(sources.map((source) => [source.file, source]));
    expect(read.size).toBeGreaterThan(40);
    expect(read.get('coordinator/scheduling/assignment.ts')?.imports).toEqual([
      { target: 'shared/reduction/slices.ts', isType: false },
    ]);
    expect(read.get('shared/protocol/heartbeat.ts')?.imports).toEqual([{ target: 'shared/clock.ts', isType: true }]);
    expect(read.get('worker/engines/registry.ts')?.imports).toContainEqual({
      target: 'worker/engines/tensorflow/definition.ts',
      isType: false,
    });
  });

  it('finds every file that is imported', () => {
    const missing = importsWhere((_, { target }) => target.endsWith('.ts') && !existsSync(path.join(root, target)));
    expect(missing).toEqual([]);
  });
});

describe('imports', () => {
  it.each([
    ['shared', ['shared']],
    ['coordinator', ['coordinator', 'shared']],
    ['worker', ['worker', 'shared']],
    ['web', ['web', 'shared']],
    ['inference/export', ['inference', 'shared']],
    ['inference/images', ['inference', 'shared']],
    // Worker processes run the command line.
    ['single-node', ['single-node', 'coordinator', 'worker', 'shared', 'cli.ts']],
    ['inference', ['inference', 'single-node', 'coordinator', 'worker', 'shared']],
  ])('of %s stay in %j', (folder, allowed) => {
    const others = importsWhere(
      ({ file }, { target }) =>
        file.startsWith(`${folder}/`) && target.endsWith('.ts') && !allowed.includes(target.split('/')[0]),
    );
    expect(others).toEqual([]);
  });

  it('of an engine go to the seam and to shared: only registry.ts knows the engines, and no engine another', () => {
    const engineOf = (file: string) => /^worker\/engines\/([^/]+)\//.exec(file)?.[1];
    const intoEngines = importsWhere(
      ({ file }, { target }) =>
        file.startsWith('worker/') &&
        file !== 'worker/engines/registry.ts' &&
        engineOf(target) !== undefined &&
        engineOf(target) !== engineOf(file),
    );
    expect(intoEngines).toEqual([]);
    const outOfEngines = importsWhere(
      ({ file }, { target }) =>
        engineOf(file) !== undefined && target.startsWith('worker/') && engineOf(target) !== engineOf(file),
    );
    const seam = new Set(['worker/engine.ts', 'worker/engine-definition.ts', 'worker/augmentation.ts']);
    expect(outOfEngines.filter((line) => !seam.has(line.split(' -> ')[1]))).toEqual([]);
  });

  it('of the page in the browser bring nothing of Node with them, and no package but those it is drawn with', () => {
    const seen = new Set<string>();
    const follow = (file: string): Import[] => {
      if (seen.has(file)) return [];
      seen.add(file);
      const values = (sources.find((source) => source.file === file)?.imports ?? []).filter(({ isType }) => !isType);
      return values.flatMap((imported) => (/\.tsx?$/.test(imported.target) ? follow(imported.target) : [imported]));
    };
    const packages = new Set(follow('web/dashboard/main.tsx').map(({ target }) => target));
    expect([...packages].toSorted()).toEqual(['@preact/signals', 'preact', 'preact/hooks', 'uplot']);
    expect(seen).toContain('shared/monitoring/step-history.ts');
    expect(
      filesImporting(({ target }) => /preact/.test(target)).filter((file) => !file.startsWith('web/dashboard/')),
    ).toEqual([]);
  });

  it('of TensorFlow are its own engine’s', () => {
    const others = importsWhere(
      ({ file }, { target }) => target.startsWith('@tensorflow/') && !file.startsWith('worker/engines/tensorflow/'),
    );
    expect(others).toEqual([]);
  });

  it('of ws are where sockets are opened; whoever is handed one knows its type alone', () => {
    expect(filesImporting(({ target, isType }) => target === 'ws' && !isType)).toEqual([
      'coordinator/connections/server.ts',
      'coordinator/monitoring/dashboard/watch-sockets.ts',
      'worker/connection/socket-link.ts',
    ]);
    expect(filesImporting(({ target, isType }) => target === 'ws' && isType)).toEqual([
      'coordinator/connections/handshake.ts',
      'coordinator/connections/worker-connection.ts',
    ]);
  });

  it('make no cycle', () => {
    expect(findCycle()).toBeUndefined();
  });
});

describe('the outside world', () => {
  it('is asked about arguments and ended only at the command line', () => {
    const files = filesWith(/\bprocess\.(?:exit|argv)\b/);
    expect(files.filter((file) => file !== 'cli.ts' && !file.startsWith('cli/'))).toEqual([]);
  });

  it('has an environment that only these read', () => {
    const files = filesWith(/\bprocess\.env\b/).filter((file) => file !== 'cli.ts' && !file.startsWith('cli/'));
    const reasons: Record<string, string> = {
      'single-node/worker-processes.ts': 'hands its own on to the worker processes, with what chooses their device',
      'worker/main.ts': 'XDG_CACHE_HOME says where the cache is unless the caller does',
      'worker/engines/tensorflow/': 'TensorFlow takes its settings from nowhere else',
    };
    const allowed = Object.keys(reasons);
    expect(files.filter((file) => !allowed.some((place) => file.startsWith(place)))).toEqual([]);
    // A reason that nobody needs any more goes.
    expect(allowed.filter((place) => !files.some((file) => file.startsWith(place)))).toEqual([]);
  });

  it('is not written to by console, but for the text of a program that binding-check.ts has a child process run', () => {
    expect(filesWith(/\bconsole\./)).toEqual(['worker/engines/tensorflow/setup/binding-check.ts']);
  });
});

/** A chain of value imports that ends where it began, or undefined. */
function findCycle(): string[] | undefined {
  const bySource = new Map(sources.map(({ file, imports }) => [file, imports]));
  const finished = new Set<string>();
  function follow(file: string, chain: readonly string[]): string[] | undefined {
    if (chain.includes(file)) return [...chain.slice(chain.indexOf(file)), file];
    if (finished.has(file)) return undefined;
    for (const { target, isType } of bySource.get(file) ?? []) {
      const cycle = isType ? undefined : follow(target, [...chain, file]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(file);
    return undefined;
  }
  for (const { file } of sources) {
    const cycle = follow(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
