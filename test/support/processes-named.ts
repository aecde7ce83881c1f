// Processes that are running on this machine, by what they were started with: what must not be left behind.
import { readdir, readFile } from 'node:fs/promises';

export const canListProcesses = process.platform === 'linux';

/** The ids of processes with such a word in their command line; none that has ended and waits to be collected. */
export async function processesNamed(word: string): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const named = await Promise.all(ids.map(async (id) => ((await commandLineOf(id)).includes(word) ? [id] : [])));
  return named.flat();
}

async function commandLineOf(id: number): Promise<string> {
  // A process may end while the list is read.
  const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
  return line.replaceAll('\0', ' ');
}
