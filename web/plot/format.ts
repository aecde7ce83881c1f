// Formats numbers.

const whole = new Intl.NumberFormat('en');
const brief = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const asWhole = (value: number) => whole.format(Math.round(value));
export const asPercent = (value: number) => `${(100 * value).toFixed(2)}%`;
export const asLoss = (value: number) => (value >= 10 ? value.toFixed(2) : value.toFixed(4));
export const asRate = (value: number) => String(Number(value.toPrecision(3)));
/** `20k`, for an axis. */
export const asBrief = (value: number) => brief.format(value).toLowerCase();
/** `20%`, `12.5%`, for an axis. */
export const asAxisPercent = (value: number) => `${Number((100 * value).toFixed(1))}%`;
export const asAxisNumber = (value: number) => String(Number(value.toPrecision(4)));
