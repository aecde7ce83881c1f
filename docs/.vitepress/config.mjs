// The documentation site: all pages in docs/, deploy/ and examples/, and the Markdown files in the repository's root.
// Each page has the same path as in the repository, so that relative links work both on the site and in a checkout. A
// dead link fails the build.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';

const docs = new URL('../', import.meta.url);

/** Returns sidebar entries for all pages in a folder except index.md, each titled by its first heading. */
function pagesIn(folder) {
  return readdirSync(new URL(`${folder}/`, docs))
    .filter((name) => name.endsWith('.md') && name !== 'index.md')
    .toSorted()
    .map((name) => {
      const [, title] = /^# (.*)$/m.exec(readFileSync(new URL(`${folder}/${name}`, docs), 'utf8'));
      return { text: title, link: `/docs/${folder}/${name}` };
    });
}

const page = (text, name) => ({ text, link: `/docs/${name}` });
const deployment = (text, name) => ({ text, link: `/deploy/${name}` });

const sidebar = [
  {
    text: 'Guide',
    items: [
      page('Getting started', 'getting-started.md'),
      page('Train on your own images', 'datasets.md'),
      page('Augmentation', 'augmentation.md'),
      page('Bring your own network', 'networks.md'),
      page('Training on several machines', 'several-machines.md'),
      page('Slow networks', 'slow-networks.md'),
      page('Local steps', 'local-steps.md'),
      page('Train with browsers', 'browsers.md'),
      page('Checkpoints and resume', 'checkpoints.md'),
      page('Failures', 'failures.md'),
      page('Monitoring', 'monitoring.md'),
      page('Using a trained network', 'trained-networks.md'),
      page('Engines', 'engines.md'),
      page('Security', 'security.md'),
    ],
  },
  {
    text: 'Deployment',
    items: [
      page('Overview', 'deployment.md'),
      deployment('SSH', 'ssh/README.md'),
      deployment('Slurm', 'slurm/README.md'),
      deployment('Docker', 'docker/README.md'),
      deployment('Kubernetes', 'kubernetes/README.md'),
      deployment('systemd', 'systemd/README.md'),
      deployment('Prometheus and Grafana', 'grafana/README.md'),
      deployment('Checking a machine with GPUs', 'gpu-check.md'),
    ],
  },
  {
    text: 'Reference',
    items: [
      page('Training options', 'options.md'),
      page('Commands', 'commands.md'),
      page('Library', 'library.md'),
      { text: 'Examples', link: '/examples/README.md' },
      page('API reference', 'api/index.md'),
      page('API reference: lockstep/browser', 'api/browser/index.md'),
      page('Protocol', 'protocol.md'),
      page('Glossary', 'glossary.md'),
    ],
  },
  {
    text: 'Background',
    items: [
      page('Exactness', 'exactness.md'),
      page('Architecture', 'architecture.md'),
      page('Add an operation to an engine', 'adding-operations.md'),
    ],
  },
  {
    text: 'Decisions',
    collapsed: true,
    items: [page('Index', 'decisions/index.md'), ...pagesIn('decisions')],
  },
  {
    text: 'Benchmarks',
    collapsed: true,
    items: [page('Index', 'benchmarks/index.md'), ...pagesIn('benchmarks')],
  },
  {
    text: 'Project',
    items: [
      { text: 'Contributing', link: '/CONTRIBUTING.md' },
      { text: 'Changelog', link: '/CHANGELOG.md' },
      { text: 'Security policy', link: '/SECURITY.md' },
    ],
  },
];

/** Resolves Vue from docs/, the only place where it is installed, for pages outside docs/ too. */
const vueFromDocs = {
  name: 'vue-from-docs',
  enforce: 'pre',
  resolveId(source, _importer, options) {
    if (!/^vue(\/|$)/.test(source)) return undefined;
    if (options.ssr) return { id: source, external: true };
    return this.resolve(source, fileURLToPath(import.meta.url), { ...options, skipSelf: true });
  },
};

export default defineConfig({
  title: 'Lockstep',
  description: 'Distributed data-parallel training whose result does not depend on who computed it',
  // An empty favicon. Without one, browsers would request /favicon.ico from the server.
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  srcDir: '..',
  srcExclude: ['!(docs|deploy|examples|*.md)/**', 'docs/generated/**'],
  rewrites: { 'docs/index.md': 'index.md' },
  themeConfig: {
    nav: [page('Getting started', 'getting-started.md'), page('Options', 'options.md'), page('API', 'api/index.md')],
    sidebar,
    outline: [2, 3],
    search: { provider: 'local' },
  },
  vite: { plugins: [vueFromDocs] },
});
