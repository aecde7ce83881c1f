// What Knip counts as used. "!" marks the product: `knip --production` starts from these entries alone, so it finds code
// that only tests use.
export default ({ production }) => ({
  entry: [
    'index.ts!',
    'cli.ts!',
    // Programs of child processes, threads and pages, which are loaded by URL.
    'cli/machine/doctor/engine-probe.ts!',
    'worker/engines/webgpu/platform/adapters-program.ts!',
    'deploy/*.mjs',
    'datasets/images/import-process.ts!',
    'worker/**/*-thread.ts!',
    'web/*/main.{ts,tsx}!',
    'web/tab/start-worker.ts!',
    'worker/browser/{compute,link}.ts!',
    // Builds for browsers use them instead of the files for Node.
    '**/*.browser.ts!',
    'examples/*.ts',
    'test/bench/{main,*-worker,*-reader}.ts',
    'test/bench/scale/*-process.ts',
    'test/support/{*.mjs,wasm-page.ts}',
    'test/worker/browser/programs/*.ts',
    'test/browsers/join/scripted-start-worker.ts',
    '**/build.mjs',
  ],
  // AssemblyScript's files import each other like TypeScript's, but its compiler is the only one that knows their entries.
  // docs/ has its own package.json.
  project: ['**/*.{ts,tsx,mjs}!', '!docs/**', '!test/**!', '!**/*.mjs!', '!**/assembly/*.ts', '!**/assembly/*.ts!'],
  // The registry loads it where it is installed.
  ignoreDependencies: ['webgpu'],
  ignoreBinaries: ['nvidia-smi', 'prometheus', 'promtool', 'setpriv', 'taskset', 'unshare'],
  // A type may be exported because an exported function mentions it, and a function because a test calls it alone.
  ignoreExportsUsedInFile: production ? true : { interface: true, type: true },
});
