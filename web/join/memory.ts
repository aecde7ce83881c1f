// What this tab remembers across reloads: that it was working, so that it continues without a click.

export interface Memory {
  /** ID of the link, because the tab may open another one. */
  link: string;
  isPaused: boolean;
  images: number;
  slices: number;
}

const key = 'lockstep-join';

/** Session storage; undefined if the browser blocks it, in which case a reload asks for a click again. */
const storage = ((): Storage | undefined => {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
})();

/** Returns what the tab remembers of a link; undefined if it was not working for it. */
export function recall(link: string): Memory | undefined {
  const text = storage?.getItem(key) ?? null;
  if (text === null) return undefined;
  // Only this page writes here.
  const memory = JSON.parse(text) as Memory;
  return memory.link === link ? memory : undefined;
}

export function remember(memory: Memory): void {
  storage?.setItem(key, JSON.stringify(memory));
}

export function forget(): void {
  storage?.removeItem(key);
}
