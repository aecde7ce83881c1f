// The light or dark theme: the system's, or the user's choice.
import { computed, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';
const key = 'lockstep-theme';

const systemIsDark = matchMedia('(prefers-color-scheme: dark)');
const systemTheme = signal(systemIsDark.matches);
systemIsDark.addEventListener('change', ({ matches }) => (systemTheme.value = matches));

/** Local storage; undefined if the browser blocks it, in which case a choice lasts until the page is closed. */
const storage = ((): Storage | undefined => {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
})();
const stored = storage?.getItem(key);
const theme = signal<Theme>(stored === 'light' || stored === 'dark' ? stored : 'system');
export const isDark = computed(() => (theme.value === 'system' ? systemTheme.value : theme.value === 'dark'));

theme.subscribe((chosen) => {
  if (chosen === 'system') storage?.removeItem(key);
  else storage?.setItem(key, chosen);
});

/** Shows the page in its theme from now on. */
export function showTheme(): void {
  isDark.subscribe((dark) => {
    document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
  });
}

/** Switches to the other theme. If the other theme is that of the system, the page follows the system again. */
export function toggleTheme(): void {
  const wanted = !isDark.value;
  theme.value = wanted === systemTheme.value ? 'system' : wanted ? 'dark' : 'light';
}
