// npm run docs: builds the site into docs/.vitepress/dist, after installing missing packages from the npm registry.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const docs = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(docs);

function run(command, args, cwd) {
  execFileSync(command, args, { cwd, stdio: 'inherit' });
}

// The option tables and the API reference are generated from the built package. npm ci builds it too.
run('npm', existsSync(path.join(root, 'node_modules')) ? ['run', 'build'] : ['ci'], root);
if (!existsSync(path.join(docs, 'node_modules'))) run('npm', ['ci', '--no-audit', '--no-fund'], docs);

run(process.execPath, [path.join(docs, 'check-links.mjs')], root);
run(process.execPath, [path.join(docs, 'generate-options.mjs')], docs);
// The second run writes into a subfolder of the first one's output.
run('npx', ['--no-install', 'typedoc'], docs);
run('npx', ['--no-install', 'typedoc', '--options', 'typedoc.browser.json'], docs);
run('npx', ['--no-install', 'vitepress', 'build', '.'], docs);
