// Checks the architecture rules against the source text: sizes, import directions, cycles, and which files may use the
// environment, the command line, sockets and so on.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findCycle, findFolderCycles } from './support/import-cycles.js';
import { root, sourceFiles, sources, type Import, type Source } from './support/sources.js';

/** Returns the imports that satisfy a condition, each as `from -> to`. */
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
/** Returns the imports between source files as the edges of a graph. */
const edgesOf = (...kinds: Import['kind'][]) =>
  sources.flatMap(({ file, imports }) =>
    imports
      .filter(({ target, kind }) => kinds.includes(kind) && existsSync(path.join(root, target)))
      .map(({ target }) => ({ from: file, to: target })),
  );

describe('the list of sources', () => {
  it('contains every source file with its imports', () => {
    const read = new Map(sources.map((source) => [source.file, source]));
    expect(read.size).toBeGreaterThan(200);
    expect(read.get('coordinator/scheduling/assignment.ts')?.imports).toEqual([
      { target: 'shared/reduction/slices.ts', kind: 'value' },
      { target: 'coordinator/scheduling/finish-order.ts', kind: 'value' },
    ]);
    expect(read.get('shared/protocol/heartbeats/monitor.ts')?.imports).toContainEqual({
      target: 'shared/clock.ts',
      kind: 'type',
    });
    expect(read.get('worker/engines/registry.ts')?.imports).toContainEqual({
      target: 'worker/engines/tensorflow/definition.ts',
      kind: 'value',
    });
  });

  it('contains every imported file', () => {
    const missing = importsWhere(
      // The scripts of a tab's worker are built into one folder, but their sources are in several.
      ({ file }, { target, kind }) =>
        /\.tsx?$/.test(target) && !(kind === 'url' && file.startsWith('web/')) && !existsSync(path.join(root, target)),
    );
    expect(missing).toEqual([]);
  });
});

describe('the source tree', () => {
  it('has at most 15 source files per directory', () => {
    const directories = sourceFiles.map((file) => path.dirname(file));
    const sizes = [...new Set(directories)].map((directory) => ({
      directory,
      count: directories.filter((other) => other === directory).length,
    }));
    expect(sizes.filter(({ count }) => count > 15)).toEqual([]);
  });

  it('has at most 400 lines per file', () => {
    const long = sources.filter(({ lineCount }) => lineCount > 400);
    expect(long.map(({ file, lineCount }) => `${file}: ${lineCount}`)).toEqual([]);
  });

  it('has only the two entry points and tool configuration files at its root', () => {
    const atRoot = sourceFiles.filter((file) => !file.includes('/') && !file.endsWith('.config.ts'));
    expect(atRoot).toEqual(['cli.ts', 'index.ts']);
  });
});

describe('imports', () => {
  it.each([
    ['shared', ['shared']],
    ['datasets', ['datasets', 'shared']],
    ['coordinator', ['coordinator', 'datasets', 'shared']],
    ['worker', ['worker', 'shared']],
    ['web', ['web', 'shared']],
    ['inference/export', ['inference', 'shared']],
    // cli.ts is the program that worker processes run.
    ['single-node', ['single-node', 'coordinator', 'datasets', 'worker', 'shared', 'cli.ts']],
    ['relay', ['relay', 'coordinator', 'datasets', 'worker', 'shared']],
    ['inference', ['inference', 'single-node', 'coordinator', 'datasets', 'worker', 'shared']],
  ])('of %s stay in %j', (folder, allowed) => {
    const others = importsWhere(
      ({ file }, { target }) =>
        file.startsWith(`${folder}/`) && /\.tsx?$/.test(target) && !allowed.includes(target.split('/')[0]),
    );
    expect(others).toEqual([]);
  });

  it('within coordinator/ go from upper layers to lower ones', () => {
    /**
     * Layers from top to bottom. Folders in the same layer do not import each other. `.` stands for the files directly
     * in coordinator/.
     */
    const layers = [
      ['.'],
      ['monitoring'],
      ['training'],
      ['engine'],
      ['connections', 'run'],
      ['scheduling', 'optimizer', 'dataset', 'encoding'],
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
    // A browser has few engines, so compute.ts needs no registry.
    const openers = new Set(['worker/engines/registry.ts', 'worker/browser/compute.ts']);
    const intoEngines = importsWhere(
      ({ file }, { target }) =>
        file.startsWith('worker/') &&
        !openers.has(file) &&
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

  it.each([
    ['dashboard', ['@preact/signals', 'preact', 'preact/hooks', 'uplot'], 'shared/monitoring/step-history.ts'],
    ['join', ['@preact/signals', 'preact', 'preact/hooks'], 'web/tab/start-worker.ts'],
  ])('of the page in web/%s include no Node.js modules and only its UI packages', (page, uiPackages, example) => {
    const seen = new Set<string>();
    const follow = (file: string): Import[] => {
      if (seen.has(file)) return [];
      seen.add(file);
      const values = (sources.find((source) => source.file === file)?.imports ?? []).filter(
        ({ kind }) => kind === 'value',
      );
      return values.flatMap((imported) => (/\.tsx?$/.test(imported.target) ? follow(imported.target) : [imported]));
    };
    const packages = new Set(follow(`web/${page}/main.tsx`).map(({ target }) => target));
    expect([...packages].toSorted()).toEqual(uiPackages);
    expect(seen).toContain(example);
  });

  it('of Preact occur only in the pages that use it', () => {
    const importing = filesImporting(({ target }) => /preact/.test(target));
    expect(importing.filter((file) => !/^web\/(?:common|dashboard|join)\//.test(file))).toEqual([]);
  });

  it('of TensorFlow occur only in its engine', () => {
    const others = importsWhere(
      ({ file }, { target }) => target.startsWith('@tensorflow/') && !file.startsWith('worker/engines/tensorflow/'),
    );
    expect(others).toEqual([]);
  });

  it('of sharp, a native library, occur only in the program of the processes that decode images', () => {
    expect(filesImporting(({ target }) => target === 'sharp')).toEqual(['datasets/images/decode-image.ts']);
    expect(filesImporting(({ target }) => target === 'datasets/images/decode-image.ts')).toEqual([
      'datasets/images/import-process.ts',
    ]);
  });

  it('of ws as a value occur only where sockets are opened; files that receive a socket import only its type', () => {
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

  it('form no cycles between files, type imports included', () => {
    expect(findCycle(edgesOf('value', 'type'))).toBeUndefined();
  });

  it('form no cycles between sibling folders, type imports included', () => {
    expect(findFolderCycles(edgesOf('value', 'type'))).toEqual([]);
  });
});

describe('the process', () => {
  it('reads its arguments and exits only in the command line', () => {
    const files = filesWith(/\bprocess\.(?:exit|argv)\b/);
    expect(files.filter((file) => file !== 'cli.ts' && !file.startsWith('cli/'))).toEqual([]);
  });

  it('reads environment variables only in the command line and a few other files', () => {
    const files = filesWith(/\bprocess\.env\b/).filter((file) => file !== 'cli.ts' && !file.startsWith('cli/'));
    const reasons: Record<string, string> = {
      'single-node/worker-processes.ts': 'passes its own on to the worker processes, with their device',
      'shared/cache-folder.ts': 'XDG_CACHE_HOME is the default location of the cache',
      'worker/engines/tensorflow/': 'TensorFlow takes its settings from the environment only',
      'worker/engines/webgpu/': 'the driver of a GPU is found by the environment, and an adapter is chosen by it',
    };
    const allowed = Object.keys(reasons);
    expect(files.filter((file) => !allowed.some((prefix) => file.startsWith(prefix)))).toEqual([]);
    // Every allowed prefix must still be needed.
    expect(allowed.filter((prefix) => !files.some((file) => file.startsWith(prefix)))).toEqual([]);
  });

  it('does not use console, except in the program that binding-check.ts runs in a child process', () => {
    expect(filesWith(/\bconsole\./)).toEqual(['worker/engines/tensorflow/setup/binding-check.ts']);
  });
});
