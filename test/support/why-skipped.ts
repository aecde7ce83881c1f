/** Prints why tests are skipped, which the default reporter of vitest does not. */
export function sayWhySkipped(what: string, reason: string): void {
  process.stderr.write(`Skipping ${what}: ${reason}\n`);
}
