// Tests the package as users install it: its files, its public API, and its use in a project without other packages.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { writeCifar10 } from '../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../shared/dataset/synthesize.js';
import { projectWithPackage } from './support/installed-package.js';
import { readPublicApi } from './support/public-api.js';

const { inProject, packageFiles, compile } = projectWithPackage();

describe('the package', () => {
  it('holds the program, its types, the license and the README', () => {
    expect(packageFiles()).toEqual(
      expect.arrayContaining([
        'LICENSE',
        'README.md',
        'package.json',
        'dist/cli.js',
        'dist/index.js',
        'dist/index.d.ts',
        'dist/web/dashboard/index.html',
        'dist/worker/engines/wasm/kernels.wasm',
        'dist/worker/engines/wasm/kernels-fma.wasm',
      ]),
    );
    // The package has no tests or sources, and no source maps, which would refer to missing sources.
    expect(packageFiles().filter((file) => /^dist\/test\/|\.map$|(?<!\.d)\.tsx?$/.test(file))).toEqual([]);
  });

  it.each([
    ['README.md', 1],
    ['docs/library.md', 7],
  ])('compiles with the examples in %s', (page, count) => {
    const text = readFileSync(fileURLToPath(new URL(`../${page}`, import.meta.url)), 'utf8');
    const examples = text.match(/(?<=```ts\n)[^]+?(?=```)/g) ?? [];
    expect(examples).toHaveLength(count);
    expect(compile(Object.fromEntries(examples.map((example, index) => [`example${index}`, example])))).toBe('');
  });

  it('exports every type that its exported declarations mention', () => {
    const { names, unexportedTypes } = readPublicApi(inProject('node_modules/lockstep/dist/index.d.ts'));
    expect(names).toEqual(expect.arrayContaining(['train', 'TrainOptions', 'Engine', 'ImageBatch', 'LockstepError']));
    expect(unexportedTypes).toEqual([]);
    expect(compile({ reexports: `export { ${names.join(', ')} } from 'lockstep';` })).toBe('');
  });

  it('trains from a program that imports it, and its types reject incorrect use', async () => {
    await writeCifar10(inProject('images'), synthesizeDataset({ trainingImages: 100, testImages: 50 }));
    const program = `
      import { train, type Report } from 'lockstep';
      const sizes = { depth: 8, initialFilters: 4, batchSize: 32, steps: 2 };
      const run = await train({ data: 'images', engine: 'wasm', workers: 1, ...sizes });
      const report: Report = await run.report;
      // @ts-expect-error: the hash is a string; if the package's types were lost, it could be anything
      const hash: number = report.weightsSha256;
      console.log(JSON.stringify({ steps: report.steps, hash }));
    `;
    expect(compile({ user: program })).toBe('');
    const ran = spawnSync(process.execPath, ['user.js'], { cwd: inProject(), encoding: 'utf8' });
    expect(ran.stderr).toBe('');
    expect(JSON.parse(ran.stdout)).toEqual({ steps: 2, hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  describe('lockstep/browser', () => {
    /** Options of a project that knows browsers, and not Node.js. */
    const forBrowsers = ['--lib', 'es2022,dom', '--types', ''];

    it('exports every type that its exported declarations mention, and needs only the types of browsers', () => {
      const { names, unexportedTypes } = readPublicApi(
        inProject('node_modules/lockstep/dist/web/tab/start-worker.d.ts'),
      );
      expect(names).toEqual(expect.arrayContaining(['BrowserWorkerEvents', 'EngineIdentity', 'WorkerSummary']));
      expect(unexportedTypes).toEqual([]);
      const page = `
        import { BrowserWorkerError, startWorker, type BrowserWorker } from 'lockstep/browser';
        const worker: BrowserWorker = startWorker('wss://lab.example.org', { token: 'join-…', scripts: '/lockstep/' });
        const forget = worker.on('progress', ({ step, images }) => document.body.append(\`\${step}: \${images}\`));
        worker.done.then(({ images }) => images.toFixed(), (error) => error instanceof BrowserWorkerError && error.code);
        forget();
        // @ts-expect-error: the step is a number; if the package's types were lost, it could be anything
        worker.on('progress', ({ step }) => step.length);
      `;
      expect(
        compile({ page, reexports: `export { ${names.join(', ')} } from 'lockstep/browser';` }, ...forBrowsers),
      ).toBe('');
    });

    it('exports what the declarations promise, as files that import only each other', () => {
      const folder = 'node_modules/lockstep/dist/browser';
      const library = readFileSync(inProject(folder, 'index.js'), 'utf8');
      const exported = [...library.matchAll(/\bas (\w+)/g)].map(([, name]) => name);
      expect(exported.toSorted()).toEqual(['BrowserWorkerError', 'startWorker']);
      const scripts = packageFiles().filter((file) => /^dist\/browser\/.*\.js$/.test(file));
      const imports = scripts.flatMap((file) =>
        [...readFileSync(inProject('node_modules/lockstep', file), 'utf8').matchAll(/\b(?:from|import)"([^"]+)"/g)].map(
          ([, imported]) => path.join('dist/browser', imported),
        ),
      );
      expect(imports.length).toBeGreaterThan(5);
      expect(imports.filter((imported) => !scripts.includes(imported))).toEqual([]);
    });
  });

  it('runs `lockstep start` with an empty home directory and only Node.js on the path', () => {
    for (const name of ['home', 'bin']) mkdirSync(inProject(name));
    symlinkSync(process.execPath, inProject('bin/node'));
    const cli = inProject('node_modules/lockstep/dist/cli.js');
    const started = spawnSync(process.execPath, [cli, 'start', '--steps', '4'], {
      cwd: inProject(),
      encoding: 'utf8',
      env: { HOME: inProject('home'), PATH: inProject('bin') },
    });
    expect(started).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('(exact)') });
  });
});
