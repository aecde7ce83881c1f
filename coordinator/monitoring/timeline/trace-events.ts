// The JSON object form of Chrome's Trace Event Format, which Perfetto and chrome://tracing read.

/** A span of time. Two spans of the same thread are either nested or disjoint. */
export interface CompleteEvent {
  ph: 'X';
  name: string;
  cat: string;
  pid: number;
  tid: number;
  /** Start time in microseconds since the start of the timeline. */
  ts: number;
  /** Duration in microseconds. */
  dur: number;
  args?: Readonly<Record<string, string | number | boolean>>;
}

/** Name or sort position of a process or thread. */
export interface MetadataEvent {
  ph: 'M';
  name: 'process_name' | 'process_sort_index' | 'thread_name' | 'thread_sort_index';
  pid: number;
  tid: number;
  args: Readonly<Record<string, string | number>>;
}

export interface Trace {
  traceEvents: readonly (CompleteEvent | MetadataEvent)[];
  displayTimeUnit: 'ms';
  otherData: Readonly<Record<string, string | number>>;
}

/** Returns metadata that names a process and its threads; `threads` is in display order. */
export function processMetadata(pid: number, name: string, threads: Readonly<Record<string, number>>): MetadataEvent[] {
  return [
    { ph: 'M', name: 'process_name', pid, tid: 0, args: { name } },
    { ph: 'M', name: 'process_sort_index', pid, tid: 0, args: { sort_index: pid } },
    ...Object.entries(threads).flatMap(([thread, tid]): MetadataEvent[] => [
      { ph: 'M', name: 'thread_name', pid, tid, args: { name: thread } },
      { ph: 'M', name: 'thread_sort_index', pid, tid, args: { sort_index: tid } },
    ]),
  ];
}

/** Rounds the start and the end of a span to nanoseconds, so that nested spans remain exactly nested. */
export function roundToNanoseconds<Event extends CompleteEvent | MetadataEvent>(event: Event): Event {
  if (event.ph === 'M') return event;
  const round = (microseconds: number) => Math.round(1000 * microseconds);
  const [from, to] = [round(event.ts), round(event.ts + event.dur)];
  return { ...event, ts: from / 1000, dur: (to - from) / 1000 };
}
