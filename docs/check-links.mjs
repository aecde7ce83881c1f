// Checks the links of all Markdown pages in the repository's root, docs/, deploy/ and examples/: a relative link must
// lead to a file that exists, and its fragment to a heading of that page. Generated pages (docs/api) are checked by the
// site's build instead.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const built = ['docs/api', 'docs/generated', 'docs/node_modules', 'docs/.vitepress'].map((name) =>
  path.join(root, name),
);
const isBuilt = (file) => built.some((folder) => file === folder || file.startsWith(folder + path.sep));

function pagesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (isBuilt(file)) return [];
    if (entry.isDirectory()) return pagesIn(file);
    return entry.name.endsWith('.md') ? [file] : [];
  });
}

const rootPages = readdirSync(root).filter((name) => name.endsWith('.md'));
const folders = ['docs', 'deploy', 'examples']
  .map((name) => path.join(root, name))
  .filter((folder) => existsSync(folder));
const pages = [...rootPages.map((name) => path.join(root, name)), ...folders.flatMap(pagesIn)];

/** Returns the text of a page without code, because code contains no links. */
function proseOf(page) {
  return readFileSync(page, 'utf8')
    .replaceAll(/^```[\s\S]*?^```$/gm, '')
    .replaceAll(/`[^`\n]*`/g, (span) => span.replaceAll(/[[\]()#]/g, ''));
}

/** Returns the fragments of a page's headings. GitHub and the site agree on them for words, digits and hyphens. */
function fragmentsOf(page) {
  return [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function troubleWith(page, link) {
  if (/^[a-z]+:/.test(link)) return undefined;
  const [target, fragment] = link.split('#');
  const file = target === '' ? page : path.join(target.startsWith('/') ? root : path.dirname(page), target);
  if (isBuilt(file)) return undefined;
  if (!existsSync(file)) return 'file not found';
  if (fragment !== undefined && !fragmentsOf(file).includes(fragment)) return 'heading not found in that page';
  return undefined;
}

const dead = pages.flatMap((page) =>
  [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
    const trouble = troubleWith(page, link);
    return trouble === undefined ? [] : [`${path.relative(root, page)}: ${link}: ${trouble}`];
  }),
);
for (const line of dead) process.stderr.write(`dead link in ${line}\n`);
process.exitCode = dead.length === 0 ? 0 : 1;
