// This machine's processor: its name, as far as the system tells, and what it can.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** For example `AMD EPYC 9B14 family 25 model 17`. */
export function processorName(): string {
  const name = cpus()[0]?.model.trim() ?? process.arch;
  const fields = processorFields();
  const family = fields.get('cpu family');
  return family === undefined ? name : `${name} family ${family} model ${fields.get('model')}`;
}

/** For example `GenuineIntel`; undefined where the system does not tell. */
export function processorVendor(): string | undefined {
  return processorFields().get('vendor_id');
}

/** For people: `Intel Xeon Processor family 6 model 167, 1 thread`. */
export function processorInWords(threads: number): string {
  const name = processorName().replaceAll(/\((?:R|TM)\)/gi, '');
  return `${name}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}

/** Of these instruction sets those that the processor has, as /proc/cpuinfo names them; null where it does not tell. */
export function instructionSets(asked: readonly string[]): string[] | null {
  const flags = processorFields().get('flags')?.split(' ');
  return flags === undefined ? null : asked.filter((name) => flags.includes(name));
}

/** What the system tells of one processor; nothing where it does not tell. */
function processorFields(): ReadonlyMap<string, string> {
  return new Map(firstProcessor().map((line) => line.split(':', 2).map((part) => part.trim()) as [string, string]));
}

/** The lines about one processor; none where the system does not tell. */
function firstProcessor(): string[] {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8').split('\n\n', 1)[0].split('\n');
  } catch {
    return [];
  }
}
