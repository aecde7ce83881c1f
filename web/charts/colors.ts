// Colors of curves: distinguishable with all types of color vision, on light and dark backgrounds.

/** Okabe and Ito's palette, darkened for light pages and lightened for dark ones to a contrast of at least 3:1. */
const palettes = {
  light: ['#0072b2', '#c44e00', '#00805c', '#a8487f', '#8a6500', '#2a7fb5', '#6a4ba3', '#4d4d4d'],
  dark: ['#58b4f0', '#ff9248', '#35cf9f', '#f08cc4', '#f0c03c', '#9cd8f7', '#b9a0f5', '#c8c8c8'],
} as const;

export type ColorScheme = keyof typeof palettes;

/** Returns the color of a curve. Colors repeat after the last one. @param index zero-based index of the curve */
export function curveColor(index: number, scheme: ColorScheme): string {
  const palette = palettes[scheme];
  return palette[index % palette.length];
}

/** Returns the color scheme that the user prefers. */
export function preferredScheme(): ColorScheme {
  return darkQuery().matches ? 'dark' : 'light';
}

/** Calls `changed` whenever the user's preference changes. */
export function onSchemeChange(changed: () => void): void {
  darkQuery().addEventListener('change', changed);
}

function darkQuery(): MediaQueryList {
  return window.matchMedia('(prefers-color-scheme: dark)');
}
