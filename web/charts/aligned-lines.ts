// Converts lines with different x values to the common table that uPlot draws.
import type uPlot from 'uplot';

/** One line of a chart. */
export interface ChartLine {
  label: string;
  /** Color as `#rrggbb`. */
  color: string;
  /** x values, in ascending order. */
  x: readonly number[];
  y: readonly number[];
  /** Lower and upper bounds of a band around the line, one of each per point. Omit both for a line without a band. */
  low?: readonly number[];
  high?: readonly number[];
  /** Dash pattern: lengths of dash and gap in CSS pixels. */
  dash?: readonly number[];
  /** Width of the line in CSS pixels; 1.5 by default. */
  width?: number;
  opacity?: number;
  /** Whether to draw points without connecting them. */
  isMarks?: boolean;
  /** Whether to omit the line from the readout at the cursor. */
  isQuiet?: boolean;
}

/**
 * Returns a column of all x values, followed by each line's column of values at these x values and, if the line has a
 * band, the columns of its bounds. Where a line has no value, its columns contain undefined.
 */
export function alignLines(lines: readonly ChartLine[]): uPlot.AlignedData {
  const allX = [...new Set(lines.flatMap(({ x }) => x))].toSorted((a, b) => a - b);
  const indexOf = new Map(allX.map((value, index) => [value, index]));
  const columns = lines.flatMap(({ x, y, low, high }) =>
    [y, ...(low === undefined || high === undefined ? [] : [low, high])].map((values) => {
      const column: (number | undefined)[] = Array.from({ length: allX.length });
      x.forEach((value, i) => (column[indexOf.get(value)!] = values[i]));
      return column;
    }),
  );
  return [allX, ...columns];
}
