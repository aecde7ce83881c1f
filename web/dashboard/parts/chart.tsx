// A chart with its legend of latest values, a text summary, and a table on demand.
import { useEffect, useRef, useState } from 'preact/hooks';
import { LineChart, type ChartLine, type LineChartOptions } from '../../charts/line-chart.js';
import { isDark } from '../../common/theme.js';
import { wholeNumber } from '../../common/numbers.js';

export interface Series {
  name: string;
  /** CSS variable that contains the color. */
  color: `--${string}`;
  /** Steps in ascending order. */
  steps: readonly number[];
  /** One value per step. */
  values: readonly number[];
  /** Whether this is the raw curve behind a smoothed one. The legend and the readout omit the raw curve. */
  isFaint?: boolean;
}

interface ChartProps {
  title: string;
  series: readonly Series[];
  format: (value: number) => string;
  options: Pick<LineChartOptions, 'formatAxis' | 'range' | 'height'>;
}

/** Minimum time between redraws of a chart. */
const drawEveryMs = 500;
const tableRows = 12;

export function Chart(props: ChartProps) {
  const { title, series, format } = props;
  const container = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const draw = useRef<() => void>(() => undefined);

  useEffect(() => {
    const { options } = latest.current;
    const chart = new LineChart(container.current!, {
      title,
      format,
      formatX: wholeNumber,
      xLabel: 'step',
      syncKey: 'run',
      ...options,
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    let drawnMs = -Infinity;
    draw.current = () => {
      if (timer !== undefined) return;
      timer = setTimeout(
        () => {
          timer = undefined;
          drawnMs = performance.now();
          // The charts on a hidden page are drawn when it becomes visible.
          if (!document.hidden) chart.setLines(linesOf(latest.current.series));
        },
        Math.max(0, drawnMs + drawEveryMs - performance.now()),
      );
    };
    document.addEventListener('visibilitychange', draw.current);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', draw.current);
      chart.destroy();
    };
  }, [isDark.value]);
  useEffect(() => draw.current(), [series, isDark.value]);

  const shown = series.filter(({ isFaint }) => isFaint !== true);
  const isEmpty = series.every(({ steps }) => steps.length === 0);
  return (
    <figure class="card chart">
      <figcaption>
        <h3>{title}</h3>
        <ul class="keys">
          {shown.map(({ name, color, values }) => {
            const last = values.at(-1);
            return (
              <li key={name}>
                <span class={`key ${color.slice(2)}`} aria-hidden="true" />
                {name} <strong>{last === undefined ? '–' : format(last)}</strong>
              </li>
            );
          })}
        </ul>
        <p class="hidden">{summaryOf(title, shown, format)}</p>
      </figcaption>
      <div class="plot" ref={container} style={{ minHeight: `${props.options.height ?? 260}px` }} />
      {isEmpty ? <p class="empty over">No steps yet.</p> : <Table {...props} series={shown} />}
    </figure>
  );
}

function linesOf(series: readonly Series[]): ChartLine[] {
  const style = getComputedStyle(document.documentElement);
  return series.map(({ name, color, steps, values, isFaint = false }) => ({
    label: name,
    color: style.getPropertyValue(color).trim(),
    x: steps,
    y: values,
    width: isFaint ? 1 : 2,
    opacity: isFaint ? 0.28 : 1,
    isQuiet: isFaint,
  }));
}

function Table({ title, series, format }: ChartProps) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <details onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>
        Show as table<span class="hidden">: {title}</span>
      </summary>
      {isOpen &&
        series.map(({ name, steps, values }) => (
          <table key={name}>
            <caption>
              {title}, {name}
            </caption>
            <thead>
              <tr>
                <th scope="col">Step</th>
                <th scope="col" class="number">
                  {title}
                </th>
              </tr>
            </thead>
            <tbody>
              {evenlySpaced(steps.length).map((index) => (
                <tr key={index}>
                  <th scope="row">{wholeNumber(steps[index])}</th>
                  <td class="number">{format(values[index])}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ))}
    </details>
  );
}

/** Returns up to tableRows evenly spaced indices, including the first and the last. */
function evenlySpaced(length: number): number[] {
  const rows = Math.min(tableRows, length);
  return Array.from({ length: rows }, (_, row) => Math.round((row * (length - 1)) / Math.max(1, rows - 1)));
}

/** Returns a text such as `Loss. training: 2.31 at step 1, 0.84 at step 700. validation: …`. */
function summaryOf(title: string, series: readonly Series[], format: (value: number) => string): string {
  const sentences = series
    .filter(({ steps }) => steps.length > 0)
    .map(({ name, steps, values }) => {
      const lastIndex = steps.length - 1;
      const point = (index: number) => `${format(values[index])} at step ${wholeNumber(steps[index])}`;
      return `${name}: ${lastIndex === 0 ? point(0) : `${point(0)}, ${point(lastIndex)}`}`;
    });
  return sentences.length === 0 ? `${title}: no steps yet` : `${title}. ${sentences.join('. ')}.`;
}
