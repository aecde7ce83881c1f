// Formats times, slices and events for the dashboard. Pure.
import type { EventLine } from '../../shared/monitoring/messages.js';

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

/** Formats a time as `14:03:12`, with the date unless it is today. */
export function moment(iso: string): string {
  const date = new Date(iso);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

/** Formats slices as ranges: `2`, `0–1`, `0–1, 3`. */
export function sliceRanges(slices: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const slice of slices.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && slice === last[1] + 1) last[1] = slice;
    else ranges.push([slice, slice]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(', ');
}

export type Tone = 'plain' | 'good' | 'late' | 'bad' | 'recovery' | 'operator';

/** Titles and colors of events in the log. Events that this version does not know are shown by name. */
const eventTitles: Readonly<Record<string, { title: string; tone: Tone }>> = {
  'worker-joined': { title: 'Worker joined', tone: 'good' },
  'worker-lost': { title: 'Worker lost', tone: 'bad' },
  'relay-joined': { title: 'Relay joined', tone: 'good' },
  'relay-lost': { title: 'Relay lost', tone: 'bad' },
  'slices-reassigned': { title: 'Slices reassigned', tone: 'recovery' },
  straggler: { title: 'Straggler', tone: 'late' },
  inexact: { title: 'No longer exact', tone: 'bad' },
  waiting: { title: 'Waiting for workers', tone: 'late' },
  checkpoint: { title: 'Checkpoint saved', tone: 'plain' },
  'checkpoint-failed': { title: 'Checkpoint failed', tone: 'bad' },
  resumed: { title: 'Resumed', tone: 'good' },
  'metrics-failed': { title: 'Metrics not written', tone: 'bad' },
  'tensorboard-failed': { title: 'TensorBoard log failed', tone: 'bad' },
  access: { title: 'Access', tone: 'plain' },
  paused: { title: 'Paused', tone: 'operator' },
  continued: { title: 'Continued', tone: 'operator' },
  'checkpoint-requested': { title: 'Checkpoint requested', tone: 'operator' },
  'stop-requested': { title: 'Stop requested', tone: 'operator' },
  'worker-dropped': { title: 'Worker dropped', tone: 'operator' },
  'join-link-created': { title: 'Join link created', tone: 'operator' },
  'join-link-revoked': { title: 'Join link revoked', tone: 'operator' },
};

/** Returns the detail of an event. For a checkpoint, this is the last component of its path. */
export function eventDetail({ event, detail }: EventLine): string {
  return event === 'checkpoint' ? (detail.split('/').at(-1) ?? detail) : describeLoss(detail);
}

/** Describes why a worker was lost. Replaces WebSocket's close code for a broken connection with a phrase. */
export function describeLoss(reason: string): string {
  return reason.replace('connection closed (1006)', 'the connection broke');
}

export function eventTitle({ event }: EventLine): { title: string; tone: Tone } {
  return Object.hasOwn(eventTitles, event) ? eventTitles[event] : { title: event.replaceAll('-', ' '), tone: 'plain' };
}
