// Writes the plot of runs to an HTML file.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { LockstepError, systemCodeOf } from '../../../shared/errors.js';
import { lockstepVersion } from '../../../shared/version.js';
import { plotPage, type PageParts } from './page.js';
import { readRuns } from './read-runs.js';

/**
 * Writes the plot, replacing an existing file. Throws `bad-option` if a folder is not a run directory or the file
 * cannot be written, and `bad-data` if metrics are damaged.
 * @returns the size of the file in bytes
 */
export async function writePlot(runs: readonly string[], file: string): Promise<number> {
  if (!/\.html?$/i.test(file)) {
    throw new LockstepError(
      'bad-option',
      `--out is ${file}: it must end in .html, so that a mistyped path does not overwrite a file of another kind`,
    );
  }
  const data = { lockstepVersion, writtenAt: new Date().toISOString(), runs: await readRuns(runs) };
  const page = plotPage(data, await readParts());
  try {
    await writeFile(`${file}.partial`, page);
    await rename(`${file}.partial`, file);
  } catch (cause) {
    const reason = systemCodeOf(cause) ?? String(cause);
    const remedy = 'choose a file in a folder that you can write to';
    throw new LockstepError('bad-option', `--out ${file} cannot be written (${reason}): ${remedy}`, { cause });
  }
  return Buffer.byteLength(page);
}

/** Reads the script and styles, which the build writes next to the compiled code. */
async function readParts(): Promise<PageParts> {
  const read = (name: string) => readFile(new URL(`../../../web/${name}`, import.meta.url), 'utf8');
  const [script, styles] = await Promise.all([read('plot.js'), read('plot.css')]);
  return { script, styles };
}
