import { readFileSync } from 'node:fs';

/** Returns the text of a file that exists only on some systems, or an empty string if it cannot be read. */
export function readOptionalFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
