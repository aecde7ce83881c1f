// A line chart: uPlot with zoom, the colors of the page, and a readout of values at the pointer or by arrow keys.
import uPlot from 'uplot';
import { alignLines, type ChartLine } from './aligned-lines.js';
import { Readout } from './readout.js';

export type { ChartLine } from './aligned-lines.js';

export interface LineChartOptions {
  /** The chart's accessible name. */
  title: string;
  /** Formats values for the readout. */
  format: (value: number) => string;
  formatX: (x: number) => string;
  /** Formats values for the vertical axis; `format` by default. */
  formatAxis?: (value: number) => string;
  formatXAxis?: (x: number) => string;
  /** Label of the horizontal axis. */
  xLabel: string;
  /** Height in CSS pixels; 260 by default. */
  height?: number;
  /** Charts with the same key share cursor and zoom. */
  syncKey?: string;
  isLogarithmic?: boolean;
  /** Limits of the vertical axis; null for a limit that depends on the values. */
  range?: readonly [lowest: number | null, highest: number | null];
}

/** Fraction of the width by which an arrow key moves the cursor. */
const keyStep = 1 / 50;
/** Fraction of the width that remains after zooming in once. */
const zoomFactor = 0.6;

export class LineChart {
  readonly #frame: HTMLElement;
  readonly #readout: Readout;
  readonly #observer: ResizeObserver;
  #options: LineChartOptions;
  #lines: readonly ChartLine[] = [];
  #plot: uPlot | undefined;
  /** Axis options and line styles that the plot was built with. The plot is rebuilt only if these change. */
  #builtFor = '';

  /** @param container an empty element; its CSS variables set the colors of axes and grid */
  constructor(container: HTMLElement, options: LineChartOptions) {
    this.#options = options;
    this.#frame = document.createElement('div');
    this.#frame.className = 'chart-frame';
    this.#frame.tabIndex = 0;
    this.#frame.setAttribute('role', 'group');
    this.#frame.setAttribute('aria-roledescription', 'chart');
    this.#frame.addEventListener('keydown', (event) => this.#onKey(event));
    this.#frame.addEventListener('blur', () => this.#readout.hide());
    this.#readout = new Readout();
    container.append(this.#frame, this.#readout.spoken);
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(this.#frame);
  }

  /** Replaces the lines. Keeps the zoom if the axes and the number and appearance of the lines stay the same. */
  setLines(lines: readonly ChartLine[], options: Partial<LineChartOptions> = {}): void {
    this.#lines = lines;
    this.#options = { ...this.#options, ...options };
    const { title, xLabel, isLogarithmic } = this.#options;
    this.#frame.setAttribute(
      'aria-label',
      `${title}, ${lines.length} ${lines.length === 1 ? 'line' : 'lines'}. Arrow keys read values, + and - zoom.`,
    );
    const looks = lines.map((line) => [
      line.label,
      line.color,
      line.dash,
      line.width,
      line.opacity,
      line.isMarks,
      line.low !== undefined,
    ]);
    const builtFor = JSON.stringify([xLabel, isLogarithmic, looks]);
    const aligned = alignLines(lines);
    if (this.#plot !== undefined && builtFor === this.#builtFor) {
      const isZoomed = this.#isZoomed();
      this.#plot.setData(aligned, !isZoomed);
      if (isZoomed) this.#plot.redraw();
      return;
    }
    this.#builtFor = builtFor;
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#uPlotOptions(), aligned, this.#frame);
    this.#readout.moveTo(this.#plot.over);
  }

  destroy(): void {
    this.#observer.disconnect();
    this.#plot?.destroy();
    this.#frame.remove();
    this.#readout.remove();
  }

  #uPlotOptions(): uPlot.Options {
    const { xLabel, syncKey, isLogarithmic = false, height = 260, range } = this.#options;
    const { format, formatX, formatAxis = format, formatXAxis = formatX } = this.#options;
    const colorOf = (name: string) => () => getComputedStyle(this.#frame).getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: colorOf('--chart-text'),
      font: '12px system-ui, sans-serif',
      grid: { stroke: colorOf('--chart-grid'), width: 1 },
      ticks: { stroke: colorOf('--chart-grid'), width: 1, size: 4 },
    };
    const isRead = this.#lines.flatMap((line) =>
      seriesOf(line).map((_, index) => index === 0 && line.isQuiet !== true),
    );
    return {
      width: Math.max(this.#frame.clientWidth, 100),
      height,
      padding: [10, 12, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false },
        y: isLogarithmic
          ? { distr: 3, range: logarithmicRange }
          : range === undefined
            ? {}
            : { range: rangeFrom(range) },
      },
      axes: [
        {
          ...axis,
          label: xLabel,
          labelSize: 20,
          labelFont: '12px system-ui, sans-serif',
          size: 30,
          values: (_, ticks) => ticks.map(formatXAxis),
        },
        {
          ...axis,
          size: 58,
          ...(isLogarithmic ? { splits: logarithmicTicks, filter: (_, ticks) => ticks } : {}),
          values: (_, ticks) => ticks.map((tick) => (tick === null ? '' : formatAxis(tick))),
        },
      ],
      cursor: {
        points: { size: (_, series) => (isRead[series - 1] ? 7 : 0) },
        hover: { skip: [undefined, null] },
        drag: { x: true, y: false, dist: 4 },
        ...(syncKey === undefined ? {} : { sync: { key: syncKey, scales: ['x', null] } }),
      },
      series: [{}, ...this.#lines.flatMap(seriesOf)],
      bands: bandsOf(this.#lines),
      hooks: { setCursor: [(plot) => this.#showValues(plot)] },
    };
  }

  /** Shows the values at the cursor, unless the cursor follows the cursor of another chart. */
  #showValues(plot: uPlot): void {
    const left = plot.cursor.left ?? -1;
    const isMine = plot.over.matches(':hover') || this.#frame.matches(':focus');
    if (left < 0 || !isMine) {
      this.#readout.hide();
      return;
    }
    const { format, formatX, xLabel } = this.#options;
    const x = plot.posToVal(left, 'x');
    const reach = (plot.scales['x'].max! - plot.scales['x'].min!) / 20;
    this.#readout.show({
      heading: `${xLabel} ${formatX(Math.round(x * 100) / 100)}`,
      rows: this.#lines
        .filter((line) => line.isQuiet !== true)
        .flatMap(({ label, color, x: xs, y }) => {
          const nearest = nearestIndex(xs, x);
          if (nearest === undefined || Math.abs(xs[nearest] - x) > reach) return [];
          return [{ label, color, value: format(y[nearest]) }];
        }),
      left,
      width: plot.over.clientWidth,
      isSpoken: this.#frame.matches(':focus-visible'),
    });
  }

  #onKey(event: KeyboardEvent): void {
    const plot = this.#plot;
    if (plot === undefined) return;
    const { clientWidth, clientHeight } = plot.over;
    const before = plot.cursor.left !== undefined && plot.cursor.left >= 0 ? plot.cursor.left : clientWidth / 2;
    const moveTo = (left: number) =>
      plot.setCursor({ left: Math.min(Math.max(left, 0), clientWidth - 1), top: clientHeight / 2 }, true);
    const actions: Record<string, () => void> = {
      ArrowLeft: () => moveTo(before - clientWidth * keyStep),
      ArrowRight: () => moveTo(before + clientWidth * keyStep),
      Home: () => moveTo(0),
      End: () => moveTo(clientWidth - 1),
      '+': () => this.#zoomAt(before / clientWidth, zoomFactor),
      '-': () => this.#zoomAt(before / clientWidth, 1 / zoomFactor),
      Escape: () => this.resetZoom(),
    };
    const action = actions[event.key];
    if (action === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }

  /** Shows the full x range, like a double click. */
  resetZoom(): void {
    const [first, last] = this.#fullRange();
    if (first !== undefined && last !== undefined) this.#plot?.setScale('x', { min: first, max: last });
  }

  /** Zooms in or out. @param position point that stays in place, as a fraction of the width */
  #zoomAt(position: number, factor: number): void {
    const { min, max } = this.#plot?.scales['x'] ?? {};
    const [first, last] = this.#fullRange();
    if (min === undefined || max === undefined || first === undefined || last === undefined) return;
    const middle = min + position * (max - min);
    const [from, to] = [
      Math.max(first, middle - position * (max - min) * factor),
      Math.min(last, middle + (1 - position) * (max - min) * factor),
    ];
    if (to > from) this.#plot?.setScale('x', { min: from, max: to });
  }

  #fullRange(): [first: number | undefined, last: number | undefined] {
    const x = this.#plot?.data[0];
    return [x?.[0], x?.[x.length - 1]];
  }

  #isZoomed(): boolean {
    const { min, max } = this.#plot?.scales['x'] ?? {};
    const [first, last] = this.#fullRange();
    return min !== undefined && max !== undefined && first !== undefined && (min > first || max < last!);
  }

  #resize(): void {
    const width = this.#frame.clientWidth;
    if (width > 0 && this.#plot !== undefined && width !== this.#plot.width) {
      this.#plot.setSize({ width, height: this.#plot.height });
    }
  }
}

/** Returns the uPlot series for a line and, if it has a band, two invisible series for the bounds. */
function seriesOf({
  label,
  color,
  dash,
  width = 1.5,
  opacity = 1,
  isMarks = false,
  low,
  y,
}: ChartLine): uPlot.Series[] {
  const invisible: uPlot.Series = { points: { show: false }, width: 0 };
  const line: uPlot.Series = {
    label,
    stroke: color,
    alpha: opacity,
    width: isMarks ? 0 : width,
    ...(dash === undefined ? {} : { dash: [...dash] }),
    // Show a single value as a point, because it cannot be drawn as a line.
    points: {
      ...(isMarks || y.length === 1 ? { show: true } : {}),
      size: isMarks ? 11 : 6,
      fill: color,
      stroke: color,
    },
  };
  return low === undefined ? [line] : [line, invisible, invisible];
}

/** Returns the bands. In uPlot, series 0 is x, and a band names its upper series first. */
function bandsOf(lines: readonly ChartLine[]): uPlot.Band[] {
  let next = 1;
  return lines.flatMap(({ low, color }) => {
    const line = next;
    next += low === undefined ? 1 : 3;
    return low === undefined ? [] : [{ series: [line + 2, line + 1] as [number, number], fill: `${color}26` }];
  });
}

/**
 * Adds a margin at each end: 5% of the range, measured on the logarithmic scale. By default, uPlot would extend the
 * range to the next powers of ten.
 */
function logarithmicRange(_: uPlot, lowest: number | null, highest: number | null): uPlot.Range.MinMax {
  if (lowest === null || highest === null || lowest <= 0) return [0.1, 10];
  const margin = Math.max(highest / lowest, 1.1) ** 0.05;
  return [lowest / margin, highest * margin];
}

/**
 * Returns ticks at 1, 2, 3, 5 and 7 times each power of ten; for more than two decades only at 1, 2 and 5 times, and
 * for more than four only at powers of ten.
 */
function logarithmicTicks(_: uPlot, _axis: number, lowest: number, highest: number): number[] {
  const decades = Math.log10(highest / lowest);
  const digits = decades > 4 ? [1] : decades > 2 ? [1, 2, 5] : [1, 2, 3, 5, 7];
  const first = Math.floor(Math.log10(lowest));
  return Array.from({ length: Math.ceil(decades) + 2 }, (_unused, i) =>
    digits.map((digit) => digit * 10 ** (first + i)),
  )
    .flat()
    .filter((tick) => tick >= lowest && tick <= highest);
}

function rangeFrom([lowest, highest]: NonNullable<LineChartOptions['range']>): uPlot.Range.Function {
  return (_, min, max) => {
    // Without data, the axis is not drawn.
    if (min === null || max === null) return [null, null];
    const [from, to] = uPlot.rangeNum(min, max, 0.05, true);
    return [lowest ?? from, highest ?? to];
  };
}

/**
 * Returns the index of the value nearest to x, or undefined if there are no values.
 * @param xs values in ascending order
 */
function nearestIndex(xs: readonly number[], x: number): number | undefined {
  if (xs.length === 0) return undefined;
  let [low, high] = [0, xs.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
}
