// Converts the view of a step to lanes of bars, one lane per worker, and to text. Pure.
import type { StepBar, StepView } from '../../shared/monitoring/step-view.js';
import { duration } from '../common/numbers.js';
import { sliceRanges } from './wording.js';

/** Appearance of a bar. A `queued` bar waits for its worker to finish an earlier bar. */
export type BarLook = 'running' | 'queued' | 'counted' | 'late' | 'lost' | 'unneeded';

export interface LaneBar {
  label: string;
  look: BarLook;
  /** Whether the slices were previously assigned to another worker. */
  isRecovery: boolean;
  startMs: number;
  endMs: number;
}

export interface Lane {
  worker: number;
  name: string;
  bars: LaneBar[];
}

interface NamedWorker {
  id: number;
  name: string;
}

/**
 * Returns the lanes for a step.
 * @param connected workers that get a lane even without bars, in the order of the lanes
 * @param elapsedMs time since the start of the step, at which open bars end
 */
export function lanesOf(view: StepView, connected: readonly NamedWorker[], elapsedMs: number): Lane[] {
  const lanes = new Map<number, Lane>();
  for (const { id, name } of connected) lanes.set(id, { worker: id, name, bars: [] });
  /** Time at which each worker starts its next bar; undefined while it has an open bar. */
  const free = new Map<number, number | undefined>();
  for (const bar of view.bars) {
    const lane = lanes.get(bar.worker) ?? { worker: bar.worker, name: bar.name, bars: [] };
    lanes.set(bar.worker, lane);
    const isQueued = free.has(bar.worker) && free.get(bar.worker) === undefined;
    const endMs = bar.endedMs ?? elapsedMs;
    const startMs = isQueued ? elapsedMs : Math.min(endMs, Math.max(bar.assignedMs, free.get(bar.worker) ?? 0));
    const label = sliceRanges(slicesOf([bar]));
    const before = lane.bars.at(-1);
    if (bar.end === 'lost' && before?.look === 'lost' && before.endMs === bar.endedMs) {
      // The worker was lost before it started this bar, so show both as one lost bar.
      before.label += `, ${label}`;
      continue;
    }
    const look = isQueued && bar.end === null ? 'queued' : lookOf(bar);
    lane.bars.push({ label, look, isRecovery: isRecovery(bar), startMs, endMs });
    free.set(bar.worker, bar.endedMs ?? undefined);
  }
  return [...lanes.values()];
}

/** Returns the lanes of workers that were lost or late, or that took over slices from such workers. */
export function recoveryLanes(lanes: readonly Lane[]): Lane[] {
  return lanes.filter(({ bars }) => bars.some((bar) => bar.isRecovery || bar.look === 'lost' || bar.look === 'late'));
}

function isRecovery({ reason }: StepBar): boolean {
  return reason === 'reassigned' || reason === 'speculative';
}

function lookOf({ end, isLate, reason }: StepBar): BarLook {
  if (end === 'lost') return 'lost';
  if (end === 'unneeded' || reason === 'probe') return 'unneeded';
  if (isLate) return 'late';
  return end === 'counted' ? 'counted' : 'running';
}

/** Returns the slices of the given bars without duplicates. */
function slicesOf(bars: readonly StepBar[]): number[] {
  const slices = bars.flatMap(({ firstSlice, sliceCount }) =>
    Array.from({ length: sliceCount }, (_, index) => firstSlice + index),
  );
  return [...new Set(slices)];
}

/** Returns a text such as `Step 12, after 420 ms: w1 computes 0–1; w2 answered 2–3; w3 is spare.` */
export function describeStep(view: StepView, connected: readonly NamedWorker[]): string {
  const names = new Map(connected.map(({ id, name }) => [id, name]));
  for (const { worker, name } of view.bars) names.set(worker, name);
  const workers = [...names].map(([id, name]) => {
    const bars = view.bars.filter(({ worker }) => worker === id);
    return `${name} ${bars.length === 0 ? 'is spare' : describeBars(bars)}`;
  });
  const when = view.isOver ? `completed in ${duration(view.elapsedMs)}` : `after ${duration(view.elapsedMs)}`;
  return `Step ${view.step}, ${when}: ${workers.length === 0 ? 'no worker is connected' : workers.join('; ')}.`;
}

/** Returns a text such as `answered 0–1, computes 2 (reassigned)`. */
function describeBars(bars: readonly StepBar[]): string {
  const groups = new Map<string, StepBar[]>();
  for (const bar of bars) {
    const suffix = bar.reason === 'assigned' ? '' : ` (${bar.reason})`;
    const key = `${verbOf(bar)} SLICES${suffix}`;
    groups.set(key, [...(groups.get(key) ?? []), bar]);
  }
  return [...groups].map(([text, group]) => text.replace('SLICES', sliceRanges(slicesOf(group)))).join(', ');
}

function verbOf({ end, isLate, reason }: StepBar): string {
  if (end === 'lost') return 'was lost with';
  if (end === 'unneeded' && reason !== 'probe') return 'was too late with';
  if (end !== null) return 'answered';
  return isLate ? 'is late with' : 'computes';
}

/** Returns a text such as `w1 left before answering slices 0–1; w3 computed slices 0–1 instead.` */
export function describeRecovery({ bars }: StepView): string {
  const sentence = (verb: string, suffix: string, isMeant: (bar: StepBar) => boolean) => {
    const meant = bars.filter(isMeant);
    const slices = slicesOf(meant);
    const names = new Set(meant.map(({ name }) => name));
    const noun = slices.length === 1 ? 'slice' : 'slices';
    return names.size === 0 ? [] : [`${[...names].join(', ')} ${verb} ${noun} ${sliceRanges(slices)}${suffix}`];
  };
  const sentences = [
    sentence('left before answering', '', ({ end }) => end === 'lost'),
    sentence('took too long with', '', ({ isLate, end }) => isLate && end !== 'lost'),
    sentence('computed', ' instead', ({ reason }) => reason === 'reassigned'),
    sentence('also computed', '', ({ reason }) => reason === 'speculative'),
  ];
  return `${sentences.flat().join('; ')}.`;
}
