// The package as others install it: what is in it, and that a project of theirs compiles and runs with it, where nothing is
// installed that the package does not ask for.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { extract } from 'tar';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { writeCifar10 } from '../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../shared/dataset/synthesize.js';
import { folderPerFile } from './support/folder-per-file.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const inFolder = folderPerFile();
const packed = z.array(z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) })).length(1);
const manifest = z.object({ dependencies: z.record(z.string(), z.string()) });
let files: string[];

beforeAll(async () => {
  // What the tests run with is built; npm would build it again.
  const options = ['pack', '--ignore-scripts', '--json', '--pack-destination', inFolder()];
  const [{ filename, files: listed }] = packed.parse(
    JSON.parse(execFileSync('npm', options, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })),
  );
  files = listed.map(({ path: file }) => file);
  const installed = inFolder('node_modules', 'lockstep');
  mkdirSync(installed, { recursive: true });
  await extract({ file: inFolder(filename), cwd: installed, strip: 1 });
  const { dependencies } = manifest.parse(JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8')));
  for (const name of Object.keys(dependencies)) {
    const place = inFolder('node_modules', name);
    mkdirSync(path.dirname(place), { recursive: true });
    symlinkSync(path.join(root, 'node_modules', name), place);
  }
}, 120_000);

/** Compiles a program as strictly as a user may want it, declarations of packages included. */
function compile(name: string, program: string): string {
  writeFileSync(inFolder('package.json'), JSON.stringify({ type: 'module' }));
  writeFileSync(inFolder(`${name}.ts`), program);
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
  const target = ['--target', 'es2022', '--module', 'nodenext'];
  const { stdout } = spawnSync(path.join(root, 'node_modules/.bin/tsc'), [...strict, ...target, `${name}.ts`], {
    cwd: inFolder(),
    encoding: 'utf8',
  });
  return stdout;
}

describe('the package', () => {
  it('is what runs, its types, the licence and the README', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'LICENSE',
        'README.md',
        'package.json',
        'dist/cli.js',
        'dist/index.js',
        'dist/index.d.ts',
        'dist/web/dashboard/index.html',
        'dist/worker/engines/wasm/kernels.wasm',
      ]),
    );
    // Tests belong to a checkout, and so do maps, which lead to sources that are not here.
    expect(files.filter((file) => /^dist\/test\/|\.map$|(?<!\.d)\.tsx?$/.test(file))).toEqual([]);
  });

  it.each([
    ['README.md', 1],
    ['docs/library.md', 4],
  ])('compiles with the examples of %s', { timeout: 60_000 }, (page, count) => {
    const examples = readFileSync(path.join(root, page), 'utf8').match(/(?<=```ts\n)[^]+?(?=```)/g) ?? [];
    expect(examples).toHaveLength(count);
    expect(examples.map((example, index) => compile(`example-${index}`, example)).join('')).toBe('');
  });

  it('trains in a project of its user, with types that know what it gives', { timeout: 120_000 }, async () => {
    await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 100, testImages: 50 }));
    const program = `
      import { train, type Report } from 'lockstep';
      const sizes = { depth: 8, initialFilters: 4, batchSize: 32, steps: 2 };
      const run = await train({ data: 'images', engine: 'wasm', workers: 1, ...sizes });
      let steps = 0;
      run.events.on('step', ({ step }) => { steps = Math.max(steps, step); });
      const report: Report = await run.report;
      // @ts-expect-error: a hash is no number, and types that are lost would let it be one
      const hash: number = report.weightsSha256;
      console.log(JSON.stringify({ steps, hash }));
    `;
    expect(compile('user', program)).toBe('');
    const ran = spawnSync(process.execPath, ['user.js'], { cwd: inFolder(), encoding: 'utf8' });
    expect(ran.stderr).toBe('');
    expect(JSON.parse(ran.stdout)).toEqual({ steps: 2, hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });
});
