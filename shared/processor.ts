// Reports the name and the instruction sets of this machine's processor, if the system provides them.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Returns the processor's name, for example `AMD EPYC 9B14 family 25 model 17`. */
export function processorName(): string {
  const name = cpus()[0]?.model.trim() ?? process.arch;
  const fields = processorFields();
  const family = fields.get('cpu family');
  return family === undefined ? name : `${name} family ${family} model ${fields.get('model')}`;
}

/** Returns the processor's vendor, for example `GenuineIntel`, or undefined if it is unknown. */
export function processorVendor(): string | undefined {
  return processorFields().get('vendor_id');
}

/** Returns a description for display, for example `Intel Xeon Processor family 6 model 167, 1 thread`. */
export function describeProcessor(threads: number): string {
  const name = processorName().replaceAll(/\((?:R|TM)\)/gi, '');
  return `${name}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}

/**
 * Filters the given instruction sets, named as in /proc/cpuinfo, to those that the processor has. Returns null if
 * unknown.
 */
export function instructionSets(names: readonly string[]): string[] | null {
  const flags = processorFields().get('flags')?.split(' ');
  return flags === undefined ? null : names.filter((name) => flags.includes(name));
}

/** Returns the fields of the first processor in /proc/cpuinfo, which exists only on Linux; empty on other systems. */
function processorFields(): ReadonlyMap<string, string> {
  try {
    const [firstProcessor] = readFileSync('/proc/cpuinfo', 'utf8').split('\n\n', 1);
    const lines = firstProcessor.split('\n');
    return new Map(lines.map((line) => line.split(':', 2).map((text) => text.trim()) as [string, string]));
  } catch {
    return new Map();
  }
}
