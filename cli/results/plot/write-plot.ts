// Runs' curves as a file to look at.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { LockstepError, systemCodeOf } from '../../../shared/errors.js';
import { lockstepVersion } from '../../../shared/version.js';
import { plotPage, type PageParts } from './page.js';
import { readRuns } from './read-runs.js';

/**
 * Writes the curves of these runs as one HTML file, over what is there.
 * @returns its size in bytes
 * Throws `bad-option` where a folder is no run or the file cannot be written, `bad-data` where metrics are damaged.
 */
export async function writePlot(runs: readonly string[], file: string): Promise<number> {
  if (!/\.html?$/i.test(file)) {
    throw new LockstepError('bad-option', `--out is ${file}: it must end in .html, as what is there is replaced`);
  }
  const data = { lockstepVersion, writtenAt: new Date().toISOString(), runs: await readRuns(runs) };
  const page = plotPage(data, await readParts());
  try {
    await writeFile(`${file}.partial`, page);
    await rename(`${file}.partial`, file);
  } catch (cause) {
    const reason = systemCodeOf(cause) ?? String(cause);
    throw new LockstepError(
      'bad-option',
      `--out ${file} cannot be written (${reason}): name a file in a folder that can`,
      {
        cause,
      },
    );
  }
  return Buffer.byteLength(page);
}

/** The build puts them beside what it compiles. */
async function readParts(): Promise<PageParts> {
  const read = (name: string) => readFile(new URL(`../../../web/${name}`, import.meta.url), 'utf8');
  const [script, styles] = await Promise.all([read('plot.js'), read('plot.css')]);
  return { script, styles };
}
