// Which modules the command line loads. Loading modules takes most of the time of short commands and of a worker's start.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const preload = new URL('../support/print-loaded-modules.mjs', import.meta.url).href;

/** Returns the loaded modules: paths in dist/, and names of packages. */
function modulesLoadedBy(...args: readonly string[]): string[] {
  const { stderr, status } = spawnSync(process.execPath, ['--import', preload, cli, ...args], { encoding: 'utf8' });
  expect(status).toBe(0);
  const modules = stderr.match(/(?<=\/node_modules\/)(@[^/]+\/)?[^/]+|(?<=\/dist\/)\S+/g) ?? [];
  return [...new Set<string>(modules)].toSorted();
}

it.each(['--version', '--help'])('%s loads neither a command nor a package other than commander', (flag) => {
  const modules = modulesLoadedBy(flag);
  expect(modules).toContain('cli/program.js');
  expect(modules.filter((module) => !/^(cli|shared)[/.]/.test(module))).toEqual(['commander']);
  expect(modules.filter((module) => /^cli\/(train|prepare|results|machine)\//.test(module))).toEqual([]);
});

it("a worker's main thread does not load ws, which its connection thread uses", () => {
  const modules = modulesLoadedBy('worker', '--help');
  expect(modules).toContain('worker/connection/threaded-link.js');
  expect(modules).not.toContain('ws');
});
