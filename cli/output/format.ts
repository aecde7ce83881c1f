// Formats numbers, sizes and durations as text, in American English.

/** `1,234` */
export function formatInteger(value: number): string {
  return value.toLocaleString('en-US');
}

/** `1 slice`, `1,234 slices` */
export function formatCount(count: number, noun: string): string {
  return `${formatInteger(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `12%`. @param fraction from 0 to 1 */
export function formatPercent(fraction: number, fractionDigits = 0): string {
  return `${(100 * fraction).toFixed(fractionDigits)}%`;
}

/** Formats a value with up to six significant digits. */
export function formatLearningRate(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** `120 B`, `3.4 kB`, `170 MB`: decimal units, with at least two significant digits from 1 kB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(power > 0 && value < 100 ? 1 : 0)} ${units[power]}`;
}

/** `42 s`, `3 min 20 s`, `5 h 12 min` */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function formatTimeLeft(seconds: number | null): string {
  return seconds === null ? 'time left unknown' : `${formatDuration(1000 * seconds)} left`;
}

/** `3.2 ms`, `45 ms`, `1.2 s`; `-` for null and undefined. */
export function formatLatency(milliseconds: number | null | undefined): string {
  if (milliseconds === null || milliseconds === undefined) return '-';
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  return milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/**
 * Replacer for JSON.stringify that rounds numbers to three decimals. Most are times in milliseconds, and the clock has
 * a resolution of one microsecond.
 */
export function roundToThousandths(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toFixed(3)) : value;
}
