import { expect, it } from 'vitest';
import { WorkerTracks } from '../../../../coordinator/monitoring/timeline/worker-tracks.js';
import type { TimingMessage } from '../../../../shared/protocol/messages.js';

/** The worker's clock is a week ahead. By the coordinator's clock, the worker is busy from 10 to 60 ms. */
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

/** Returns each span as `thread name from-to`, in milliseconds. */
function spansOf(tracks: WorkerTracks): string[] {
  return tracks
    .events((ms) => 1000 * ms)
    .flatMap((event) =>
      event.ph === 'X' ? [`${event.tid} ${event.name} ${event.ts / 1000}-${(event.ts + event.dur) / 1000}`] : [],
    );
}

it("a worker's spans are converted to the coordinator's clock, however far its clock is off", () => {
  const tracks = new WorkerTracks({ id: 7, name: 'attic', engine: 'wasm' });
  // This round trip of 1 ms is faster than the transfers of weights (3 ms) and gradient (4 ms), so its offset is used.
  tracks.clockOffset.add({ sentMs: 0, receivedMs: at(0.5), repliedMs: at(0.5), returnedMs: 1 });
  tracks.assigned(9, 5);
  tracks.report(timing);
  tracks.answered(timing.step, timing.range, 64);
  expect(spansOf(tracks)).toEqual([
    '1 receive 5-8',
    '2 slices 2 to 3 10-60',
    '2 slice 2 11-31',
    '2 augment 11-13',
    '2 compute 13-30',
    '2 slice 3 35-58',
    // The worker reports 3 ms of augmentation and 25 ms of computation for a slice that took 23 ms: computation is
    // limited to 23 ms, and no time is left for augmentation.
    '2 augment 35-35',
    '2 compute 35-58',
    '2 add 31-34',
    '2 prepare 6-7',
    '3 send slices 2 to 3 60-64',
  ]);
});

it('without an answered heartbeat, transfers of weights and gradients serve as clock samples', () => {
  const tracks = new WorkerTracks({ id: 7, name: 'attic', engine: 'wasm' });
  tracks.assigned(9, 6);
  tracks.report(timing);
  expect(spansOf(tracks)).toEqual([]);
  // The weights take 2 ms (6 to 8), and so does the gradient (60 to 62).
  tracks.answered(timing.step, timing.range, 62);
  expect([tracks.clockOffset.offsetMs, tracks.clockOffset.uncertaintyMs]).toEqual([skewMs, 2]);
  expect(spansOf(tracks)[0]).toBe('1 receive 6-8');
});

it('nothing arrives before it was sent, and answers are sent one after another', () => {
  const tracks = new WorkerTracks({ id: 7, name: 'attic', engine: 'wasm' });
  // The offset is 3 ms too large: uncorrected, weights sent at 6 ms would arrive at 5 ms.
  tracks.clockOffset.add({ sentMs: 0, receivedMs: at(3), repliedMs: at(3), returnedMs: 0 });
  tracks.assigned(9, 6);
  const second = { ...timing, range: { first: 0, count: 1 }, slices: timing.slices.slice(0, 1), sentMs: at(62) };
  for (const report of [timing, second]) {
    tracks.report(report);
    tracks.answered(report.step, report.range, 70);
  }
  const spans = spansOf(tracks);
  expect(spans[0]).toBe('1 receive 6-6');
  expect(spans.filter((span) => span.startsWith('3'))).toEqual(['3 send slices 2 to 3 57-70', '3 send slice 0 70-70']);
});
