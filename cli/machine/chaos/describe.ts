// A chaos report in words: a row a fault, how fast the run recovered, and the verdict.
import { countOf } from '../../output/line-writer.js';
import type { FaultRecord, Spread, Unexplained } from './fault-log.js';
import type { InjectedFault, Moment } from './fault-plan.js';

export interface Described {
  hashQuiet: string;
  hashFaulted: string;
  same: boolean;
  seed: number;
  recoveryMs: Spread | null;
  beyondMs: Spread | null;
  faults: readonly FaultRecord[];
  missed: number;
  unexplained: readonly Unexplained[];
  quiet: { stepMs: Spread | null };
  faulted: { wallSeconds: number; resources: Record<'rssMiB' | 'handles', { early: number; late: number }> };
}

const momentWords: Record<Moment, string> = {
  'before-compute': 'before compute',
  'in-compute': 'in compute',
  'in-answer': 'sending a gradient',
  'between-steps': 'between steps',
  'in-validation': 'in validation',
  'in-transfer': 'receiving a shard',
};

function blowInWords(blow: InjectedFault): string {
  switch (blow.kind) {
    case 'kill':
      return 'killed, replaced';
    case 'disconnect':
      return blow.forMs === 0 ? 'cut off' : `cut off for ${milliseconds(blow.forMs)}`;
    case 'freeze':
      return `frozen for ${milliseconds(blow.forMs)}`;
    case 'stall':
      return `stalled for ${milliseconds(blow.forMs)}`;
    case 'delay':
      return `${milliseconds(blow.delayMs)} late for ${milliseconds(blow.forMs)}`;
    case 'throttle':
      return `${(blow.bytesPerSecond / 1e6).toFixed(1)} MB/s for ${milliseconds(blow.forMs)}`;
    default:
      return blow satisfies never;
  }
}

function describeFaults(faults: readonly FaultRecord[]): string[] {
  const header = ['step', 'when', 'worker', 'what', 'missed after', 'slices to others', 'complete after', 'back after'];
  const rows = faults.map((fault) => [
    String(fault.step),
    momentWords[fault.moment],
    fault.name,
    blowInWords(fault.blow),
    milliseconds(fault.lost?.afterMs),
    fault.slicesReassigned === 0 ? '-' : String(fault.slicesReassigned),
    milliseconds(fault.completeAfterMs),
    milliseconds(fault.backAfterMs),
  ]);
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column].length)));
  const isNumber = (column: number) => column === 0 || column > 3;
  return [header, ...rows].map((row) =>
    row
      .map((cell, column) => (isNumber(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}

export function describeReport(report: Described): string[] {
  const { faults, missed, recoveryMs, beyondMs, quiet, faulted, same } = report;
  const lines = [
    '',
    ...(faults.length > 0 ? [...describeFaults(faults), ''] : []),
    `${countOf(faults.length, 'fault')} in ${faulted.wallSeconds.toFixed(0)} s` +
      (missed > 0 ? `; of ${missed} more the moment did not come` : ''),
  ];
  if (recoveryMs !== null && beyondMs !== null) {
    lines.push(
      `${countOf(recoveryMs.n, 'kill')} with nothing else amiss: the running step was complete after ` +
        `${milliseconds(recoveryMs.median)} (median), ${milliseconds(recoveryMs.worst)} at worst; without the time of ` +
        `computing again what was lost ${milliseconds(beyondMs.median)}, ${milliseconds(beyondMs.worst)} at worst. ` +
        `A quiet step takes ${milliseconds(quiet.stepMs?.median)}`,
    );
  }
  for (const { step, name, reason } of report.unexplained) {
    lines.push(`${name} was lost in step ${step} without a fault of its own: ${reason}`);
  }
  const { rssMiB, handles } = faulted.resources;
  lines.push(
    `coordinator and links, early and late in the run: ${rssMiB.early.toFixed(0)} and ${rssMiB.late.toFixed(0)} MiB, ` +
      `${handles.early} and ${handles.late} handles`,
    '',
    same
      ? `the same bits: ${report.hashFaulted}`
      : `DIFFERENT BITS: ${report.hashQuiet} quietly, ${report.hashFaulted} under faults`,
  );
  return lines;
}

/** `-` for what did not happen. */
export function milliseconds(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '-';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
