// A step's view as lanes of bars, a lane for each worker, and the same in words. Pure.
import type { StepBar, StepView } from '../../shared/monitoring/step-view.js';
import { duration, sliceRanges } from './wording.js';

/** How a bar looks. `queued` ones wait behind another bar of their worker. */
export type BarLook = 'running' | 'queued' | 'counted' | 'late' | 'lost' | 'unneeded';

export interface LaneBar {
  label: string;
  look: BarLook;
  /** It was another worker's before. */
  isTakeover: boolean;
  startMs: number;
  endMs: number;
}

export interface Lane {
  worker: number;
  name: string;
  bars: LaneBar[];
}

/**
 * @param here the workers that are here, in the table's order; each has a lane, with or without bars
 * @param elapsedMs where open bars end
 */
export function lanesOf(view: StepView, here: readonly { id: number; name: string }[], elapsedMs: number): Lane[] {
  const lanes = new Map<number, Lane>();
  for (const { id, name } of here) lanes.set(id, { worker: id, name, bars: [] });
  /** Where the worker's next bar begins; undefined while one is open. */
  const free = new Map<number, number | undefined>();
  for (const bar of view.bars) {
    const lane = lanes.get(bar.worker) ?? { worker: bar.worker, name: bar.name, bars: [] };
    lanes.set(bar.worker, lane);
    const isQueued = free.has(bar.worker) && free.get(bar.worker) === undefined;
    const endMs = bar.endedMs ?? elapsedMs;
    const startMs = isQueued ? elapsedMs : Math.min(endMs, Math.max(bar.assignedMs, free.get(bar.worker) ?? 0));
    const before = lane.bars.at(-1);
    if (bar.end === 'lost' && before?.look === 'lost' && before.endMs === bar.endedMs) {
      // It never came to this one.
      before.label += `, ${sliceLabel(bar)}`;
      continue;
    }
    lane.bars.push({
      label: sliceLabel(bar),
      look: isQueued && bar.end === null ? 'queued' : lookOf(bar),
      isTakeover: bar.reason === 'reassigned' || bar.reason === 'speculative',
      startMs,
      endMs,
    });
    free.set(bar.worker, bar.endedMs ?? undefined);
  }
  return [...lanes.values()];
}

/** Those in which something was out of the ordinary. */
export function troubledLanes(lanes: readonly Lane[]): Lane[] {
  return lanes.filter(({ bars }) =>
    bars.some(({ look, isTakeover }) => isTakeover || look === 'lost' || look === 'late'),
  );
}

function sliceLabel({ firstSlice, sliceCount }: StepBar): string {
  return sliceRanges(Array.from({ length: sliceCount }, (_, index) => firstSlice + index));
}

function lookOf({ end, isLate, reason }: StepBar): BarLook {
  if (end === 'lost') return 'lost';
  if (end === 'unneeded' || reason === 'probe') return 'unneeded';
  if (isLate) return 'late';
  return end === 'counted' ? 'counted' : 'running';
}

/** `Step 12, after 420 ms: w1 computes slices 0–1; w2 has answered 2–3; w3 is spare.` */
export function describeStep(view: StepView, here: readonly { id: number; name: string }[]): string {
  const names = new Map([...here.map(({ id, name }) => [id, name] as const), ...namesIn(view)]);
  const parts = [...names].map(([id, name]) =>
    describeWorker(
      name,
      view.bars.filter((bar) => bar.worker === id),
    ),
  );
  const when = view.isOver ? `collected in ${duration(view.elapsedMs)}` : `after ${duration(view.elapsedMs)}`;
  return `Step ${view.step}, ${when}: ${parts.length === 0 ? 'nobody is here' : parts.join('; ')}.`;
}

function namesIn({ bars }: StepView): [number, string][] {
  return bars.map(({ worker, name }) => [worker, name]);
}

function describeWorker(name: string, bars: readonly StepBar[]): string {
  if (bars.length === 0) return `${name} is spare`;
  const slices = (isMeant: (bar: StepBar) => boolean) =>
    sliceRanges(
      bars
        .filter(isMeant)
        .flatMap(({ firstSlice, sliceCount }) => Array.from({ length: sliceCount }, (_, index) => firstSlice + index)),
    );
  const isTakeover = ({ reason }: StepBar) => reason === 'reassigned' || reason === 'speculative';
  const isTrial = ({ reason }: StepBar) => reason === 'probe';
  const phrases: [string, string][] = [
    ['was lost with', slices(({ end }) => end === 'lost')],
    ['is late with', slices(({ end, isLate }) => end === null && isLate)],
    ['computes', slices((bar) => bar.end === null && !bar.isLate && !isTakeover(bar) && !isTrial(bar))],
    ['took over and computes', slices((bar) => bar.end === null && isTakeover(bar))],
    ['tries', slices((bar) => isTrial(bar))],
    ['has answered', slices((bar) => bar.end === 'counted' && !isTakeover(bar))],
    ['took over and has answered', slices((bar) => bar.end === 'counted' && isTakeover(bar))],
    ['was too late with', slices((bar) => bar.end === 'unneeded' && !isTrial(bar))],
  ];
  const said = phrases.filter(([, list]) => list !== '').map(([words, list]) => `${words} ${list}`);
  return `${name} ${said.join(', ')}`;
}

/** `w1 was lost; w3 took over 0–1.` In a few words what was out of the ordinary. */
export function describeTrouble({ bars }: StepView): string {
  const slicesOf = (chosen: readonly StepBar[]) => {
    const slices = chosen.flatMap(({ firstSlice, sliceCount }) =>
      Array.from({ length: sliceCount }, (_, index) => firstSlice + index),
    );
    const different = [...new Set(slices)];
    return `${different.length === 1 ? 'slice' : 'slices'} ${sliceRanges(different)}`;
  };
  const names = (chosen: readonly StepBar[]) => [...new Set(chosen.map(({ name }) => name))].join(', ');
  const lost = bars.filter(({ end }) => end === 'lost');
  const late = bars.filter(({ isLate, end }) => isLate && end !== 'lost');
  const takeovers = bars.filter(({ reason }) => reason === 'reassigned');
  const helps = bars.filter(({ reason }) => reason === 'speculative');
  const sentences = [
    lost.length > 0 && `${names(lost)} was lost with ${slicesOf(lost)}`,
    late.length > 0 && `${names(late)} was late with ${slicesOf(late)}`,
    takeovers.length > 0 && `${names(takeovers)} took over ${slicesOf(takeovers)}`,
    helps.length > 0 && `${names(helps)} computed ${slicesOf(helps)} too`,
  ];
  return `${sentences.filter((sentence) => sentence !== false).join('; ')}.`;
}
