// Numbers as people read them.

const whole = new Intl.NumberFormat('en');
const brief = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const asWhole = (value: number) => whole.format(Math.round(value));
export const asPercent = (value: number) => `${(100 * value).toFixed(2)}%`;
export const asLoss = (value: number) => (value >= 10 ? value.toFixed(2) : value.toFixed(4));
export const asRate = (value: number) => String(Number(value.toPrecision(3)));
/** On an axis: 20k. */
export const asBrief = (value: number) => brief.format(value).toLowerCase();
/** On an axis, in percent: whole ones without a fraction. */
export const asAxisPercent = (value: number) => `${Number((100 * value).toFixed(1))}%`;
export const asAxisNumber = (value: number) => String(Number(value.toPrecision(4)));
