// Formats numbers for the plot page.

const whole = new Intl.NumberFormat('en');
const brief = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const asWhole = (value: number) => whole.format(Math.round(value));
export const asPercent = (value: number) => `${(100 * value).toFixed(2)}%`;
export const asLoss = (value: number) => (value >= 10 ? value.toFixed(2) : value.toFixed(4));
export const asRate = (value: number) => String(Number(value.toPrecision(3)));
/** Formats a number for an axis: `20k`. */
export const asBrief = (value: number) => brief.format(value).toLowerCase();
/** Formats a fraction for an axis: `20%`, `12.5%`. */
export const asAxisPercent = (value: number) => `${Number((100 * value).toFixed(1))}%`;
export const asAxisNumber = (value: number) => String(Number(value.toPrecision(4)));
