// The package as `npm pack` makes it, unpacked in a project of its own. Of other packages, only those that it depends on are
// there. Nothing is downloaded: they are links to the checkout's.
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
  /** The path of something in the project. */
  inProject: (...parts: string[]) => string;
  /** The files of the package. */
  packageFiles: () => string[];
  /** Compiles programs, by name, as strictly as a user may want it, declarations of packages included. @returns the errors */
  compile: (programs: Record<string, string>) => string;
}

/** For one test file: to be called at its top level, and used within its tests. */
export function projectWithPackage(): Project {
  const inProject = folderPerFile();
  let packageFiles: string[];
  beforeAll(async () => {
    // The tests run with a build, so npm need not build again.
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
  return { inProject, packageFiles: () => packageFiles, compile: (programs) => compile(inProject(), programs) };
}

function compile(folder: string, programs: Record<string, string>): string {
  const files = Object.keys(programs).map((name) => `${name}.ts`);
  for (const [name, program] of Object.entries(programs)) writeFileSync(path.join(folder, `${name}.ts`), program);
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
  const options = [...strict, '--target', 'es2022', '--module', 'nodenext'];
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  return spawnSync(tsc, [...options, ...files], { cwd: folder, encoding: 'utf8' }).stdout;
}
