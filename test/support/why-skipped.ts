/** Skipped tests show no reason in vitest's short report. */
export function sayWhySkipped(what: string, reason: string): void {
  process.stderr.write(`Skipping ${what}: ${reason}\n`);
}
