// The Trace Event Format (its JSON object form), as Chrome writes it and Perfetto and chrome://tracing read it.

/** A span of time. Of one thread, spans lie in one another or beside each other, never across. */
export interface CompleteEvent {
  ph: 'X';
  name: string;
  cat: string;
  pid: number;
  tid: number;
  /** Microseconds since the timeline began. */
  ts: number;
  /** Microseconds. */
  dur: number;
  args?: Readonly<Record<string, string | number | boolean>>;
}

/** Names a process or a thread, or says where it stands. */
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

/** A process of the trace with its threads, each named, in the order in which they are to stand. */
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

/** Rounds where a span begins and ends, so that what lies within another does so to the last digit. */
export function inWholeNanoseconds<Event extends CompleteEvent | MetadataEvent>(event: Event): Event {
  if (event.ph === 'M') return event;
  const round = (microseconds: number) => Math.round(1000 * microseconds);
  const [from, to] = [round(event.ts), round(event.ts + event.dur)];
  return { ...event, ts: from / 1000, dur: (to - from) / 1000 };
}
