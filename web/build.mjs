// Bundles the scripts and styles of the pages: dist/web/plot.js and plot.css, the dashboard in dist/web/dashboard, and
// everything that makes a browser a worker, with its page, in dist/browser.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';

const common = {
  bundle: true,
  minify: true,
  target: ['es2022', 'chrome115', 'firefox115', 'safari16.4'],
  legalComments: 'inline',
  logLevel: 'warning',
};

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

await build({
  ...common,
  entryPoints: [
    { in: 'web/join/main.tsx', out: 'join' },
    { in: 'web/join/styles.css', out: 'join' },
  ],
  outdir: 'dist/browser',
  format: 'esm',
  splitting: true,
  jsx: 'automatic',
  jsxImportSource: 'preact',
});

await mkdir('dist/web/dashboard', { recursive: true });
for (const file of ['index.html', 'icon.svg']) {
  await copyFile(`web/dashboard/${file}`, `dist/web/dashboard/${file}`);
}
await copyFile('web/join/index.html', 'dist/browser/join.html');
await copyFile('web/dashboard/icon.svg', 'dist/browser/icon.svg');
// The licenses of these packages require that a copy accompany the bundles.
const bundled = ['preact', '@preact/signals', '@preact/signals-core', 'uplot'];
const notices = bundled.map(async (name) => `${name}\n\n${await readFile(`node_modules/${name}/LICENSE`, 'utf8')}`);
await writeFile('dist/web/licenses.txt', (await Promise.all(notices)).join('\n\n'));
