// Installs the package that `npm pack` creates in a separate project. The project contains no other packages except
// Lockstep's dependencies, which are links to those of the checkout, so nothing is downloaded.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { extract } from 'tar';
import { beforeAll } from 'vitest';
import { z } from 'zod';
import { folderPerFile } from './folder-per-file.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const packed = z.array(z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) })).length(1);
const manifest = z.object({ dependencies: z.record(z.string(), z.string()) });

export interface Project {
  /** Returns the path of a file or folder in the project. */
  inProject: (...parts: string[]) => string;
  /** Returns the paths of all files in the package. */
  packageFiles: () => string[];
  /**
   * Compiles programs, given by name, in strict mode, and also checks the packages' declaration files.
   * @param options further options of the compiler
   * @returns the errors
   */
  compile: (programs: Record<string, string>, ...options: string[]) => string;
}

/**
 * Creates the project before the tests of a file. Call this at the top level of the file, and use the result within
 * tests.
 */
export function projectWithPackage(): Project {
  const inProject = folderPerFile();
  let packageFiles: string[];
  beforeAll(async () => {
    // The tests run after a build, so npm need not run the build script again.
    const options = ['pack', '--ignore-scripts', '--json', '--pack-destination', inProject()];
    const [{ filename, files }] = packed.parse(
      JSON.parse(execFileSync('npm', options, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })),
    );
    packageFiles = files.map(({ path: file }) => file);
    const installed = inProject('node_modules', 'lockstep');
    mkdirSync(installed, { recursive: true });
    await extract({ file: inProject(filename), cwd: installed, strip: 1 });
    const { dependencies } = manifest.parse(JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8')));
    for (const name of Object.keys(dependencies)) {
      const link = inProject('node_modules', name);
      mkdirSync(path.dirname(link), { recursive: true });
      symlinkSync(path.join(root, 'node_modules', name), link);
    }
    writeFileSync(inProject('package.json'), JSON.stringify({ type: 'module' }));
  });
  return {
    inProject,
    packageFiles: () => packageFiles,
    compile: (programs, ...options) => compile(inProject(), programs, options),
  };
}

function compile(folder: string, programs: Record<string, string>, moreOptions: string[]): string {
  const files = Object.keys(programs).map((name) => `${name}.ts`);
  for (const [name, program] of Object.entries(programs)) writeFileSync(path.join(folder, `${name}.ts`), program);
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
  const options = [...strict, '--target', 'es2022', '--module', 'nodenext'];
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  return spawnSync(tsc, [...options, ...moreOptions, ...files], { cwd: folder, encoding: 'utf8' }).stdout;
}
