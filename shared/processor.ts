// Name and instruction sets of this machine's processor, as far as the system reports them.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** For example `AMD EPYC 9B14 family 25 model 17`. */
export function processorName(): string {
  const name = cpus()[0]?.model.trim() ?? process.arch;
  const fields = processorFields();
  const family = fields.get('cpu family');
  return family === undefined ? name : `${name} family ${family} model ${fields.get('model')}`;
}

/** For example `GenuineIntel`; undefined if unknown. */
export function processorVendor(): string | undefined {
  return processorFields().get('vendor_id');
}

/** For display: `Intel Xeon Processor family 6 model 167, 1 thread`. */
export function describeProcessor(threads: number): string {
  const name = processorName().replaceAll(/\((?:R|TM)\)/gi, '');
  return `${name}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}

/** Returns those of the given instruction sets, named as in /proc/cpuinfo, that the processor has; null if unknown. */
export function instructionSets(names: readonly string[]): string[] | null {
  const flags = processorFields().get('flags')?.split(' ');
  return flags === undefined ? null : names.filter((name) => flags.includes(name));
}

/** The fields of the first processor in /proc/cpuinfo, which only Linux has. */
function processorFields(): ReadonlyMap<string, string> {
  try {
    const [firstProcessor] = readFileSync('/proc/cpuinfo', 'utf8').split('\n\n', 1);
    const lines = firstProcessor.split('\n');
    return new Map(lines.map((line) => line.split(':', 2).map((text) => text.trim()) as [string, string]));
  } catch {
    return new Map();
  }
}
