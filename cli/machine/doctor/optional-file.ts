import { readFileSync } from 'node:fs';

/** The text of a file that only some systems have; empty if it cannot be read. */
export function readOptionalFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
