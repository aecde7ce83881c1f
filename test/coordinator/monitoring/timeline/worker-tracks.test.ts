import { expect, it } from 'vitest';
import { WorkerTracks } from '../../../../coordinator/monitoring/timeline/worker-tracks.js';
import type { TimingMessage } from '../../../../shared/protocol/messages.js';

/** A worker whose clock is a week ahead tells of a range of two slices, by the coordinator's clock from 10 to 60 ms. */
const skewMs = 604_800_000;
const at = (ms: number) => ms + skewMs;
const timing: TimingMessage = {
  type: 'timing',
  step: 9,
  range: { first: 2, count: 2 },
  receivedMs: at(8),
  startedMs: at(10),
  sentMs: at(60),
  slices: [
    { slice: 2, startedMs: at(11), endedMs: at(31), augmentMs: 2, computeMs: 17 },
    { slice: 3, startedMs: at(35), endedMs: at(58), augmentMs: 3, computeMs: 25 },
  ],
  additions: [{ startedMs: at(31), endedMs: at(34) }],
  preparations: [{ startedMs: at(6), endedMs: at(7) }],
};

/** `thread name from-to`, in milliseconds. */
function spansOf(tracks: WorkerTracks): string[] {
  return tracks
    .events((ms) => 1000 * ms)
    .flatMap((event) =>
      event.ph === 'X' ? [`${event.tid} ${event.name} ${event.ts / 1000}-${(event.ts + event.dur) / 1000}`] : [],
    );
}

it("tells a worker's time in the coordinator's, however far its clock is off", () => {
  const tracks = new WorkerTracks({ id: 7, name: 'attic', engine: 'wasm' });
  // Quicker than the weights' and the gradient's way, which are of unequal length.
  tracks.clockOffset.add({ askedMs: 0, reachedMs: at(0.5), toldMs: at(0.5), heardMs: 1 });
  tracks.asked(9, 5);
  tracks.told(timing);
  tracks.answered(timing, 64);
  expect(spansOf(tracks)).toEqual([
    '1 receive 5-8',
    '2 slices 2 to 3 10-60',
    '2 slice 2 11-31',
    '2 augment 11-13',
    '2 compute 13-30',
    '2 slice 3 35-58',
    // It says 3 and 25 ms of 23: nothing was left to augment, and no more than 23 ms to compute.
    '2 augment 35-35',
    '2 compute 35-58',
    '2 add 31-34',
    '2 prepare 6-7',
    '3 send slices 2 to 3 60-64',
  ]);
});

it('goes by weights and gradients where no ping was answered', () => {
  const tracks = new WorkerTracks({ id: 7, name: 'attic', engine: 'wasm' });
  tracks.asked(9, 6);
  tracks.told(timing);
  expect(spansOf(tracks)).toEqual([]);
  // 2 ms there and 2 ms back.
  tracks.answered(timing, 62);
  expect([tracks.clockOffset.offsetMs, tracks.clockOffset.uncertaintyMs]).toEqual([skewMs, 2]);
  expect(spansOf(tracks)[0]).toBe('1 receive 6-8');
});

it('has nothing arrive before it was sent, and one answer sent after the other', () => {
  const tracks = new WorkerTracks({ id: 7, name: 'attic', engine: 'wasm' });
  // 3 ms wrong: weights would arrive at 5 that were sent at 6.
  tracks.clockOffset.add({ askedMs: 0, reachedMs: at(3), toldMs: at(3), heardMs: 0 });
  tracks.asked(9, 6);
  const second = { ...timing, range: { first: 0, count: 1 }, slices: timing.slices.slice(0, 1), sentMs: at(62) };
  for (const told of [timing, second]) {
    tracks.told(told);
    tracks.answered(told, 70);
  }
  const spans = spansOf(tracks);
  expect(spans[0]).toBe('1 receive 6-6');
  expect(spans.filter((span) => span.startsWith('3'))).toEqual(['3 send slices 2 to 3 57-70', '3 send slice 0 70-70']);
});
