// The architecture's rules, checked in the sources' text: sizes, directions of imports, cycles, and which files may use the
// environment, the command line, sockets and so on.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findCycle, findFolderCycles } from './support/import-cycles.js';
import { root, sourceFiles, sources, type Import, type Source } from './support/sources.js';

/** Lists as `from -> to` the imports for which a condition holds. */
function importsWhere(condition: (source: Source, imported: Import) => boolean): string[] {
  return sources.flatMap((source) =>
    source.imports
      .filter((imported) => condition(source, imported))
      .map((imported) => `${source.file} -> ${imported.target}`),
  );
}

const filesWith = (pattern: RegExp) => sources.filter(({ text }) => pattern.test(text)).map(({ file }) => file);
const filesImporting = (condition: (imported: Import) => boolean) =>
  sources.filter(({ imports }) => imports.some(condition)).map(({ file }) => file);
/** Imports between sources, as edges of a graph. */
const edgesOf = (...kinds: Import['kind'][]) =>
  sources.flatMap(({ file, imports }) =>
    imports
      .filter(({ target, kind }) => kinds.includes(kind) && existsSync(path.join(root, target)))
      .map(({ target }) => ({ from: file, to: target })),
  );

describe('what this test reads', () => {
  it('is every source, with its imports', () => {
    const read = new Map(sources.map((source) => [source.file, source]));
    expect(read.size).toBeGreaterThan(200);
    expect(read.get('coordinator/scheduling/assignment.ts')?.imports).toEqual([
      { target: 'shared/reduction/slices.ts', kind: 'value' },
    ]);
    expect(read.get('shared/protocol/heartbeat.ts')?.imports).toEqual([{ target: 'shared/clock.ts', kind: 'type' }]);
    expect(read.get('worker/engines/registry.ts')?.imports).toContainEqual({
      target: 'worker/engines/tensorflow/definition.ts',
      kind: 'value',
    });
  });

  it('has every file that is imported', () => {
    const missing = importsWhere((_, { target }) => /\.tsx?$/.test(target) && !existsSync(path.join(root, target)));
    expect(missing).toEqual([]);
  });
});

describe('sizes', () => {
  it('are at most 15 sources in a directory', () => {
    const directories = sourceFiles.map((file) => path.dirname(file));
    const sizes = [...new Set(directories)].map((directory) => ({
      directory,
      count: directories.filter((other) => other === directory).length,
    }));
    expect(sizes.filter(({ count }) => count > 15)).toEqual([]);
  });

  it('are at most 400 lines in a file', () => {
    const long = sources.filter(({ lineCount }) => lineCount > 400);
    expect(long.map(({ file, lineCount }) => `${file}: ${lineCount}`)).toEqual([]);
  });

  it('leave at the root the two entry points and the configuration of tools', () => {
    const atRoot = sourceFiles.filter((file) => !file.includes('/') && !file.endsWith('.config.ts'));
    expect(atRoot).toEqual(['cli.ts', 'index.ts']);
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
        file.startsWith(`${folder}/`) && /\.tsx?$/.test(target) && !allowed.includes(target.split('/')[0]),
    );
    expect(others).toEqual([]);
  });

  it('within coordinator/ go from upper layers to lower ones', () => {
    /** From the top. Folders of one layer do not import each other. `.` stands for the files beside the folders. */
    const layers = [
      ['.'],
      ['monitoring'],
      ['training'],
      ['connections', 'run'],
      ['scheduling', 'optimizer', 'dataset'],
    ];
    const folderOf = (file: string) =>
      path.posix
        .relative('coordinator', file)
        .replace(/^[^/]+$/, '.')
        .split('/')[0];
    const layerOf = (file: string) => layers.findIndex((folders) => folders.includes(folderOf(file)));
    const isInside = (file: string) => file.startsWith('coordinator/');
    expect(sources.filter(({ file }) => isInside(file) && layerOf(file) === -1)).toEqual([]);
    const upward = importsWhere(
      ({ file }, { target }) =>
        isInside(file) && isInside(target) && folderOf(file) !== folderOf(target) && layerOf(file) >= layerOf(target),
    );
    expect(upward).toEqual([]);
  });

  it('of an engine stay in its folder, the engine interface and shared/, and only the registry imports engines', () => {
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

  it('of the dashboard’s page bring in nothing of Node, and only the packages that draw it', () => {
    const seen = new Set<string>();
    const follow = (file: string): Import[] => {
      if (seen.has(file)) return [];
      seen.add(file);
      const values = (sources.find((source) => source.file === file)?.imports ?? []).filter(
        ({ kind }) => kind === 'value',
      );
      return values.flatMap((imported) => (/\.tsx?$/.test(imported.target) ? follow(imported.target) : [imported]));
    };
    const packages = new Set(follow('web/dashboard/main.tsx').map(({ target }) => target));
    expect([...packages].toSorted()).toEqual(['@preact/signals', 'preact', 'preact/hooks', 'uplot']);
    expect(seen).toContain('shared/monitoring/step-history.ts');
    expect(
      filesImporting(({ target }) => /preact/.test(target)).filter((file) => !file.startsWith('web/dashboard/')),
    ).toEqual([]);
  });

  it('of TensorFlow are in its engine only', () => {
    const others = importsWhere(
      ({ file }, { target }) => target.startsWith('@tensorflow/') && !file.startsWith('worker/engines/tensorflow/'),
    );
    expect(others).toEqual([]);
  });

  it('of ws are where sockets are opened; files that are given a socket import its type only', () => {
    expect(filesImporting(({ target, kind }) => target === 'ws' && kind === 'value')).toEqual([
      'coordinator/connections/server.ts',
      'coordinator/monitoring/dashboard/watch-sockets.ts',
      'worker/connection/socket-link.ts',
    ]);
    expect(filesImporting(({ target, kind }) => target === 'ws' && kind === 'type')).toEqual([
      'coordinator/connections/handshake.ts',
      'coordinator/connections/worker-connection.ts',
    ]);
  });

  it('form no cycle of files', () => {
    expect(findCycle(edgesOf('value'))).toBeUndefined();
  });

  it('form no cycle of sibling folders, imports of types included', () => {
    expect(findFolderCycles(edgesOf('value', 'type'))).toEqual([]);
  });
});

describe('the outside world', () => {
  it('passes arguments to the command line only, which alone ends the process', () => {
    const files = filesWith(/\bprocess\.(?:exit|argv)\b/);
    expect(files.filter((file) => file !== 'cli.ts' && !file.startsWith('cli/'))).toEqual([]);
  });

  it('has an environment that only these files read', () => {
    const files = filesWith(/\bprocess\.env\b/).filter((file) => file !== 'cli.ts' && !file.startsWith('cli/'));
    const reasons: Record<string, string> = {
      'single-node/worker-processes.ts': 'passes its own on to the worker processes, with their device',
      'worker/main.ts': 'XDG_CACHE_HOME is the default location of the cache',
      'worker/engines/tensorflow/': 'TensorFlow takes its settings from the environment only',
    };
    const allowed = Object.keys(reasons);
    expect(files.filter((file) => !allowed.some((prefix) => file.startsWith(prefix)))).toEqual([]);
    // Exceptions that are no longer needed are removed.
    expect(allowed.filter((prefix) => !files.some((file) => file.startsWith(prefix)))).toEqual([]);
  });

  it('is not written to with console, except by the program that binding-check.ts runs in a child process', () => {
    expect(filesWith(/\bconsole\./)).toEqual(['worker/engines/tensorflow/setup/binding-check.ts']);
  });
});
