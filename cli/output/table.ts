// Formats text tables with aligned columns.

/** @param isRightAligned whether to align a column to the right; by default, every column but the first */
export function formatTable(
  rows: readonly (readonly string[])[],
  isRightAligned = (column: number) => column > 0,
): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (isRightAligned(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}
