// Colors for curves: far apart for people with any kind of color vision, and readable on light and on dark.

/** Okabe and Ito's colors, darkened for light pages and lightened for dark ones where they had too little contrast (3:1). */
const palettes = {
  light: ['#0072b2', '#c44e00', '#00805c', '#a8487f', '#8a6500', '#2a7fb5', '#6a4ba3', '#4d4d4d'],
  dark: ['#58b4f0', '#ff9248', '#35cf9f', '#f08cc4', '#f0c03c', '#9cd8f7', '#b9a0f5', '#c8c8c8'],
} as const;

export type ColorScheme = keyof typeof palettes;

/** The color of the n-th curve, counted from 0. Behind the last one they begin again. */
export function curveColor(index: number, scheme: ColorScheme): string {
  const palette = palettes[scheme];
  return palette[index % palette.length];
}

/** What the reader has asked the browser for. */
export function preferredScheme(): ColorScheme {
  return darkQuery().matches ? 'dark' : 'light';
}

/** Calls back when the reader changes it; the returned function ends that. */
export function onSchemeChange(changed: (scheme: ColorScheme) => void): () => void {
  const query = darkQuery();
  const listener = () => changed(query.matches ? 'dark' : 'light');
  query.addEventListener('change', listener);
  return () => query.removeEventListener('change', listener);
}

function darkQuery(): MediaQueryList {
  return window.matchMedia('(prefers-color-scheme: dark)');
}
