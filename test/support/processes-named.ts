// Finds running processes by their command line, to check that none is left behind.
import { readdir, readFile } from 'node:fs/promises';

export const canListProcesses = process.platform === 'linux';

/** Returns the IDs of all processes with the given text in their command line, except for zombies. */
export async function processesNamed(text: string): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const named = await Promise.all(ids.map(async (id) => ((await commandLineOf(id)).includes(text) ? [id] : [])));
  return named.flat();
}

async function commandLineOf(id: number): Promise<string> {
  // A process may exit while the list is being read.
  const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
  return line.replaceAll('\0', ' ');
}
