// Formats numbers and durations for the pages. Pure.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const wholeNumber = (value: number) => whole.format(value);
export const percent = (ratio: number, digits = 1) => `${(100 * ratio).toFixed(digits)}%`;
export const loss = (value: number) => (value >= 100 ? value.toPrecision(4) : value.toFixed(3));

/** Formats a learning rate: `0.1`, `0.00325`, `3.2e-5`. */
export const rate = (value: number) => String(Number(value.toPrecision(3)));

/** Formats images per second: `4.2`, `37`, `12,800`. */
export const perSecond = (value: number) => (value > 0 && value < 10 ? value.toFixed(1) : whole.format(value));

/** Formats a size: `27 kB`, `1.1 MB`, `120 MB`. */
export function byteSize(bytes: number): string {
  if (bytes < 1e5) return `${Math.ceil(bytes / 1e3)} kB`;
  return `${bytes < 1e7 ? (bytes / 1e6).toFixed(1) : whole.format(bytes / 1e6)} MB`;
}

/** Formats a rate of transfer: `0 kB/s`, `850 kB/s`, `12 MB/s`. */
export const bytesPerSecond = (bytes: number) => `${byteSize(bytes)}/s`;

/** Formats a duration: `85 ms`, `2.1 s`, `3 min 20 s`, `5 h 12 min`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 10_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
