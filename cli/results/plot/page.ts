// The HTML page of a plot. It contains its script, styles and data, and its content security policy forbids loading
// anything else.
import { createHash } from 'node:crypto';
import type { PlotData } from '../../../web/plot/curves.js';

/** Script and styles of the page, built from web/plot. */
export interface PageParts {
  script: string;
  styles: string;
}

export function plotPage(data: PlotData, { script, styles }: PageParts): string {
  const title = `${data.runs.map(({ name }) => name).join(', ')} · Lockstep`;
  // `<` could begin an end tag or a comment inside the script element; in JSON strings it can be written as \u003c.
  const json = JSON.stringify(data).replaceAll('<', String.raw`\u003c`);
  const policy = [
    `default-src 'none'`,
    `script-src '${sourceHash(script)}'`,
    `style-src 'unsafe-inline'`, // uPlot positions its elements with style attributes
    `base-uri 'none'`,
    `form-action 'none'`,
  ].join('; ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="lockstep plot">
<title>${escapeHtml(title)}</title>
<style>${styles}</style>
</head>
<body>
<noscript>The curves require JavaScript, which is disabled in this browser.</noscript>
<main id="page"></main>
<script type="application/json" id="curves">${json}</script>
<script>${script}</script>
</body>
</html>
`;
}

function sourceHash(script: string): string {
  return `sha256-${createHash('sha256').update(script).digest('base64')}`;
}

function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => names[character]);
}
