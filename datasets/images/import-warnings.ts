// Warnings about an imported image folder.
import type { Manifest } from '../packed/manifest.js';

/** Number of files that a warning names. The manifest has all of them. */
const maxNames = 10;

/** Returns the warnings about an import, each as one line. Returns none for other datasets. */
export function importWarnings(manifest: Manifest | null): string[] {
  const imported = manifest?.import ?? null;
  if (manifest === null || imported === null) return [];
  const { skipped, emptyClasses, ignored, duplicates } = imported;
  const warnings: string[] = [];
  if (skipped.length > 0) {
    const names = listed(skipped.map(({ file, reason }) => `${file} (${reason})`));
    warnings.push(`skipped ${counted(skipped.length, 'file')} that cannot be read as images: ${names}`);
  }
  if (emptyClasses.length > 0) {
    warnings.push(
      `${counted(emptyClasses.length, 'class')} of ${manifest.description.classNames.length} without training images, which ` +
        `cannot be learned: ${listed(emptyClasses)}`,
    );
  }
  if (ignored.length > 0) {
    const names = listed(ignored);
    warnings.push(
      `ignored ${counted(ignored.length, 'file or folder', 'files or folders')} outside the class folders: ${names}`,
    );
  }
  if (duplicates.images > 0) {
    const pairs = listed(
      duplicates.examples.map(([first, second]) => `${second} equals ${first}`),
      duplicates.images,
    );
    warnings.push(
      `${counted(duplicates.images, 'validation or test image')} also in another split, which makes the measured ` +
        `accuracy too high: ${pairs}`,
    );
  }
  return warnings;
}

function counted(count: number, noun: string, plural = `${noun}${noun.endsWith('s') ? 'es' : 's'}`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}

/** @param total number of items, of which only the first may be given */
function listed(items: readonly string[], total = items.length): string {
  const shown = items.slice(0, maxNames);
  const more = total - shown.length;
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
