// The report of `lockstep chaos`: as JSON, or as text with a row per fault, the recovery time and the verdict.
import { lockstepVersion } from '../../../shared/version.js';
import { formatBytes, formatCount, formatDuration, formatLatency } from '../../output/format.js';
import { formatTable } from '../../output/table.js';
import { recoveryOf, type FaultRecord } from './fault-log.js';
import type { Fault, Trigger } from './fault-plan.js';
import type { RunOutcome } from './faulted-run.js';

/** The report as printed by `chaos --json`. */
export type ChaosReport = ReturnType<typeof reportOf>;

export function reportOf(quiet: RunOutcome, faulted: RunOutcome, seed: number, workers: number) {
  return {
    lockstepVersion,
    seed,
    steps: faulted.steps,
    workers,
    hashQuiet: quiet.weightsSha256,
    hashFaulted: faulted.weightsSha256,
    same: quiet.weightsSha256 === faulted.weightsSha256,
    ...recoveryOf(faulted.faults),
    quiet: quiet.measured,
    faulted: faulted.measured,
    faults: faulted.faults,
    missed: faulted.missed,
    unexplained: [...quiet.unexplained, ...faulted.unexplained],
  };
}

const triggerWords: Record<Trigger, string> = {
  'before-compute': 'before computing',
  'in-compute': 'while computing',
  'in-answer': 'sending a gradient',
  'between-steps': 'between steps',
  'in-validation': 'in validation',
  'in-transfer': 'receiving a shard',
};

function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case 'kill':
      return 'killed';
    case 'disconnect':
      return fault.forMs === 0 ? 'disconnected' : `disconnected for ${formatLatency(fault.forMs)}`;
    case 'freeze':
      return `frozen for ${formatLatency(fault.forMs)}`;
    case 'stall':
      return `stalled for ${formatLatency(fault.forMs)}`;
    case 'delay':
      return `delayed by ${formatLatency(fault.delayMs)} for ${formatLatency(fault.forMs)}`;
    case 'throttle':
      return `limited to ${formatBytes(fault.bytesPerSecond)}/s for ${formatLatency(fault.forMs)}`;
    default:
      return fault satisfies never;
  }
}

function describeFaults(faults: readonly FaultRecord[]): string[] {
  const header = ['step', 'when', 'worker', 'fault', 'lost after', 'slices reassigned', 'complete after', 'back after'];
  const rows = faults.map((record) => [
    String(record.step),
    triggerWords[record.moment],
    record.name,
    describeFault(record.blow),
    formatLatency(record.lost?.afterMs),
    record.slicesReassigned === 0 ? '-' : String(record.slicesReassigned),
    formatLatency(record.completeAfterMs),
    formatLatency(record.backAfterMs),
  ]);
  return formatTable([header, ...rows], (column) => column === 0 || column > 3);
}

export function describeReport(report: ChaosReport): string[] {
  const { faults, missed, recoveryMs, beyondMs, quiet, faulted, same, unexplained } = report;
  const { rssMiB, handles } = faulted.resources;
  return [
    '',
    ...(faults.length > 0 ? [...describeFaults(faults), ''] : []),
    `${formatCount(faults.length, 'fault')} in ${formatDuration(1000 * faulted.wallSeconds)}` +
      (missed > 0 ? `; ${missed} more not injected, because their trigger did not occur` : ''),
    ...(recoveryMs === null || beyondMs === null
      ? []
      : [
          `recovery from ${formatCount(recoveryMs.n, 'isolated kill')}: the step was complete after ` +
            `${formatLatency(recoveryMs.median)} (median; worst ${formatLatency(recoveryMs.worst)}), of which ` +
            `${formatLatency(beyondMs.median)} (worst ${formatLatency(beyondMs.worst)}) not spent recomputing lost slices; ` +
            `a step without faults takes ${formatLatency(quiet.stepMs?.median)}`,
        ]),
    ...unexplained.map(({ step, name, reason }) => `${name} was lost in step ${step} without a fault: ${reason}`),
    `this process, early and late in the run: ${rssMiB.early.toFixed(0)} and ${rssMiB.late.toFixed(0)} MiB of memory, ` +
      `${handles.early} and ${handles.late} handles`,
    '',
    same
      ? `identical weights: ${report.hashFaulted}`
      : `DIFFERENT WEIGHTS: ${report.hashQuiet} without faults, ${report.hashFaulted} with faults`,
  ];
}
