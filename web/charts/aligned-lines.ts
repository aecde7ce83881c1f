// Lines with horizontal places of their own as the one table that uPlot draws.
import type uPlot from 'uplot';

/** One line of a chart. */
export interface ChartLine {
  label: string;
  /** As `#rrggbb`. */
  color: string;
  /** Ascending. */
  x: readonly number[];
  y: readonly number[];
  /** Bounds of a band around the line, one for each of its places. */
  low?: readonly number[];
  high?: readonly number[];
  /** CSS pixels of line, then of gap. */
  dash?: readonly number[];
  /** CSS pixels, unless said 1.5. */
  width?: number;
  opacity?: number;
  /** Points that no line joins. */
  isMarks?: boolean;
  /** Left out of what is read at the cursor. */
  isQuiet?: boolean;
}

/** Every place of any line, and each line's values there (then its band's bounds); undefined, which a line passes over, where it has none. */
export function alignLines(lines: readonly ChartLine[]): uPlot.AlignedData {
  const places = [...new Set(lines.flatMap(({ x }) => x))].toSorted((a, b) => a - b);
  const indexOf = new Map(places.map((place, index) => [place, index]));
  const columns = lines.flatMap(({ x, y, low, high }) =>
    [y, ...(low === undefined || high === undefined ? [] : [low, high])].map((values) => {
      const column: (number | undefined)[] = Array.from({ length: places.length });
      x.forEach((place, i) => (column[indexOf.get(place)!] = values[i]));
      return column;
    }),
  );
  return [places, ...columns];
}
