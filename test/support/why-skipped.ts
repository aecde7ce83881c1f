/** Prints why tests are skipped, which the default reporter of Vitest does not do. */
export function sayWhySkipped(what: string, reason: string): void {
  process.stderr.write(`Skipping ${what}: ${reason}\n`);
}
