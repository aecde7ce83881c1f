// An esbuild plugin for code that also runs in Node: replaces FILE.ts with FILE.browser.ts where that exists, sets the
// version, and configures libraries for pages whose content security policy forbids `eval`.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

export const browserPlatform = {
  name: 'browser-platform',
  setup(build) {
    build.initialOptions.define = { ...build.initialOptions.define, LOCKSTEP_VERSION: JSON.stringify(version) };
    build.onResolve({ filter: /^\..*\.js$/ }, ({ path: imported, resolveDir }) => {
      const file = path.join(resolveDir, imported.replace(/\.js$/, '.browser.ts'));
      return existsSync(file) ? { path: file } : undefined;
    });
    // Every Zod schema refers to the conversion to JSON Schema, a tenth of Zod, which nothing here uses.
    build.onLoad({ filter: /zod\/v4\/core\/(?:to-json-schema|json-schema-processors)\.js$/ }, ({ path: file }) => {
      const names = readFileSync(file, 'utf8').matchAll(/^export (?:const|function|class) (\w+)/gm);
      return { contents: [...names].map(([, name]) => `export const ${name} = () => undefined;`).join('\n') };
    });
    // Zod tries `new Function` to find out whether it may compile its schemas. Browsers report the attempt.
    build.onResolve({ filter: /^zod$/ }, ({ importer }) =>
      importer.endsWith('zod.browser.ts') ? undefined : { path: path.resolve('shared/platform/zod.browser.ts') },
    );
  },
};
