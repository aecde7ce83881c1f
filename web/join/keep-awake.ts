// Keeps the browser from stopping the work: a Web Lock, because Chromium does not freeze a page that holds one, and a
// screen wake lock, because a device that sleeps computes nothing. Browsers may refuse either; the work goes on.

/** @returns a function that lets the page be frozen again */
export function preventFreezing(name: string): () => void {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  // Browsers have no locks over plain HTTP, except on loopback addresses.
  if ('locks' in navigator) void navigator.locks.request(name, { mode: 'shared' }, () => held).catch(() => undefined);
  return release;
}

/** @returns a function that lets the screen turn off again */
export function keepScreenOn(): () => void {
  if (!('wakeLock' in navigator)) return () => undefined;
  let isOver = false;
  let lock: WakeLockSentinel | undefined;
  const request = async (): Promise<void> => {
    // Browsers release the lock when the page is hidden, and refuse it to hidden pages.
    if (isOver || document.visibilityState !== 'visible') return;
    const granted = await navigator.wakeLock.request('screen');
    if (isOver) await granted.release();
    else lock = granted;
  };
  // A refusal, for example because the battery is low, only means that the screen may turn off.
  const tryRequest = (): void => void request().catch(() => undefined);
  document.addEventListener('visibilitychange', tryRequest);
  tryRequest();
  return () => {
    isOver = true;
    document.removeEventListener('visibilitychange', tryRequest);
    void lock?.release();
  };
}
