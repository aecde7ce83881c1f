// A page of curves as one HTML file that asks for nothing: its script, its styles and its numbers are in it, and its policy
// lets the browser load nothing else.
import { createHash } from 'node:crypto';
import type { PlotData } from '../../../web/plot/curves.js';

/** What the build makes of web/plot. */
export interface PageParts {
  script: string;
  styles: string;
}

export function plotPage(data: PlotData, { script, styles }: PageParts): string {
  const title = `${data.runs.map(({ name }) => name).join(', ')} · Lockstep`;
  // In a script's text nothing but its end tag, and what looks like a comment, is special; `<` inside JSON's strings is \u003c.
  const json = JSON.stringify(data).replaceAll('<', String.raw`\u003c`);
  const policy = [
    `default-src 'none'`,
    `script-src '${sourceHash(script)}'`,
    `style-src 'unsafe-inline'`, // uPlot places its parts by style attributes
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
<noscript>These curves are drawn by a script, and this browser runs none.</noscript>
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
