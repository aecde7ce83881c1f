// Builds the scripts and styles of pages, each into one file beside what tsc compiles: dist/pages/NAME.js and NAME.css.
import { build } from 'esbuild';

await build({
  entryPoints: [
    { in: 'pages/plot/main.ts', out: 'plot' },
    { in: 'pages/plot/plot.css', out: 'plot' },
  ],
  outdir: 'dist/pages',
  bundle: true,
  minify: true,
  format: 'iife',
  target: ['es2022', 'chrome115', 'firefox115', 'safari16.4'],
  legalComments: 'inline',
  logLevel: 'warning',
});
