// Bundles the scripts and styles of the pages: dist/web/plot.js and plot.css, the dashboard in dist/web/dashboard, and in
// dist/browser the page that joins a run, the library `lockstep/browser`, and the scripts of a tab's worker.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { browserPlatform } from './browser-platform.mjs';

const common = {
  bundle: true,
  minify: true,
  target: ['es2022', 'chrome115', 'firefox115', 'safari16.4'],
  legalComments: 'inline',
  logLevel: 'warning',
};

// Scripts of earlier builds have other names.
await rm('dist/browser', { recursive: true, force: true });

await build({
  ...common,
  entryPoints: [
    { in: 'web/plot/main.ts', out: 'plot' },
    { in: 'web/plot/plot.css', out: 'plot' },
  ],
  outdir: 'dist/web',
  format: 'iife',
});

await build({
  ...common,
  entryPoints: [
    { in: 'web/dashboard/main.tsx', out: 'dashboard' },
    { in: 'web/dashboard/styles.css', out: 'dashboard' },
  ],
  outdir: 'dist/web/dashboard',
  format: 'esm',
  jsx: 'automatic',
  jsxImportSource: 'preact',
});

await mkdir('dist/web/dashboard', { recursive: true });
for (const file of ['index.html', 'icon.svg']) {
  await copyFile(`web/dashboard/${file}`, `dist/web/dashboard/${file}`);
}

await build({
  ...common,
  entryPoints: [
    { in: 'web/join/main.tsx', out: 'join' },
    { in: 'web/join/styles.css', out: 'join' },
    { in: 'web/tab/start-worker.ts', out: 'index' },
    { in: 'worker/browser/compute.ts', out: 'compute' },
    { in: 'worker/browser/link.ts', out: 'link' },
    { in: 'worker/engines/wasm/browser/wasm-thread.ts', out: 'wasm-thread' },
  ],
  outdir: 'dist/browser',
  format: 'esm',
  platform: 'browser',
  // What several scripts share is in files next to them, so that import.meta.url is in the same folder everywhere.
  splitting: true,
  chunkNames: '[name]-[hash]',
  plugins: [browserPlatform],
  jsx: 'automatic',
  jsxImportSource: 'preact',
});
await copyFile('web/join/index.html', 'dist/browser/join.html');
await copyFile('web/dashboard/icon.svg', 'dist/browser/icon.svg');
await copyFile('dist/worker/engines/wasm/kernels.wasm', 'dist/browser/kernels.wasm');
await copyFile('dist/worker/encoding/rounding.wasm', 'dist/browser/rounding.wasm');
await copyFile('dist/shared/optimizer/update.wasm', 'dist/browser/update.wasm');

// The licenses of these packages require that a copy accompany the bundles.
const bundled = ['preact', '@preact/signals', '@preact/signals-core', 'uplot', '@noble/hashes', 'zod'];
const notices = bundled.map(async (name) => `${name}\n\n${await readFile(`node_modules/${name}/LICENSE`, 'utf8')}`);
await writeFile('dist/web/licenses.txt', (await Promise.all(notices)).join('\n\n'));
