// What pages are told, how often, and what it costs when nobody looks.
import { describe, expect, it } from 'vitest';
import { Feed, type Watcher } from '../../../../coordinator/monitoring/dashboard/feed.js';
import { RunRecord, type RecordedLine } from '../../../../coordinator/monitoring/dashboard/run-record.js';
import { applyDifference } from '../../../../shared/monitoring/difference.js';
import type { LiveState, WatchMessage } from '../../../../shared/monitoring/messages.js';
import { FakeClock } from '../../../support/fake-clock.js';

const time = '2026-01-01T00:00:00.000Z';
const stepLine = (step: number): RecordedLine => ({
  type: 'step',
  time,
  step,
  epoch: 1,
  loss: 2,
  accuracy: 0.5,
  learningRate: 0.1,
  imagesPerSecond: 100,
});
const eventLine = (step: number): RecordedLine => ({ type: 'event', time, step, event: 'checkpoint', detail: 'x' });

const greeting = { type: 'ended', ending: { how: 'failed', message: 'a stand-in', report: null } } as const;

/** Between two updates. */
const pauseMs = 250;

class FakePage implements Watcher {
  readonly heard: WatchMessage[] = [];
  bufferedBytes = 0;
  send(text: string): void {
    this.heard.push(JSON.parse(text) as WatchMessage);
  }
  close(): void {
    throw new Error('a feed does not close pages');
  }
}

function startFeed(recorded: readonly RecordedLine[] = [], live: () => LiveState | null = () => null) {
  const clock = new FakeClock();
  let liveCalls = 0;
  const feed = new Feed({
    clock,
    greeting,
    record() {
      const record = new RunRecord();
      for (const line of recorded) record.add(line);
      return Promise.resolve(record);
    },
    live() {
      liveCalls++;
      return live();
    },
  });
  return { clock, feed, liveCalls: () => liveCalls };
}

async function joined(feed: Feed, clock: FakeClock): Promise<FakePage> {
  const page = new FakePage();
  await feed.join(page);
  clock.advance(pauseMs);
  return page;
}

describe('a feed', () => {
  it('makes nothing while nobody watches', () => {
    const { feed, clock, liveCalls } = startFeed();
    for (let step = 1; step <= 1_000; step++) feed.add(stepLine(step));
    feed.changed();
    clock.advance(60_000);
    expect(liveCalls()).toBe(0);
    expect(clock.running).toBe(0);
  });

  it('tells all there was at first, then only what is new', async () => {
    const { feed, clock } = startFeed([stepLine(1), stepLine(2), eventLine(2)]);
    const page = await joined(feed, clock);
    expect(page.heard).toMatchObject([
      greeting,
      { type: 'history', steps: { step: [1, 2] }, events: [{ event: 'checkpoint' }] },
    ]);
    page.heard.length = 0;
    feed.add(stepLine(3));
    feed.add(eventLine(3));
    clock.advance(pauseMs);
    expect(page.heard).toMatchObject([{ type: 'update', steps: [{ step: 3 }], events: [{ step: 3 }] }]);
  });

  it('tells what came while the record was being read once', async () => {
    const { feed, clock } = startFeed([stepLine(1)]);
    const page = new FakePage();
    const joining = feed.join(page);
    feed.add(stepLine(2));
    await joining;
    clock.advance(pauseMs);
    expect(page.heard).toMatchObject([greeting, { type: 'history', steps: { step: [1, 2] } }]);
  });

  it('speaks at most four times a second, however much happens', async () => {
    const { feed, clock } = startFeed();
    const page = await joined(feed, clock);
    page.heard.length = 0;
    for (let step = 1; step <= 1_000; step++) {
      feed.add(stepLine(step));
      clock.advance(1);
    }
    // One at once or soon, then one every 250 ms.
    expect(page.heard.length).toBeGreaterThanOrEqual(4);
    expect(page.heard.length).toBeLessThanOrEqual(5);
    const told = page.heard.flatMap((message) => (message.type === 'update' ? message.steps : []));
    expect(told.map(({ step }) => step)).toEqual(Array.from({ length: told.length }, (_, index) => index + 1));
  });

  it('passes over a page that does not keep up, and tells it the rest in one shard', async () => {
    const { feed, clock } = startFeed();
    const [slow, quick] = [await joined(feed, clock), await joined(feed, clock)];
    slow.heard.length = 0;
    quick.heard.length = 0;
    slow.bufferedBytes = 1 << 20;
    for (let step = 1; step <= 3_000; step++) {
      feed.add(stepLine(step));
      if (step % 100 === 0) clock.advance(pauseMs);
    }
    expect(slow.heard).toEqual([]);
    expect(quick.heard.length).toBeGreaterThan(20);
    slow.bufferedBytes = 0;
    feed.changed();
    clock.advance(pauseMs);
    // So far behind, the whole history is the smaller answer.
    expect(slow.heard).toMatchObject([{ type: 'history', steps: { stepsPerPoint: 4 } }]);
  });

  it('tells what has changed in how the run stands, and all of it to a page that missed something', async () => {
    let step = 0;
    const standingAt = (count: number) => ({
      status: { run: { step: count, loss: count / 7 }, workers: ['attic'] },
      view: null,
    });
    const { feed, clock } = startFeed([], () => standingAt(step) as unknown as LiveState);
    const [slow, quick] = [await joined(feed, clock), await joined(feed, clock)];
    for (const page of [slow, quick]) page.heard.length = 0;
    const tell = () => {
      step++;
      feed.changed();
      clock.advance(pauseMs);
    };
    tell();
    expect(slow.heard).toMatchObject([{ live: { status: { run: { step: [1], loss: [1 / 7] } } } }]);
    slow.bufferedBytes = 1 << 20;
    tell();
    slow.bufferedBytes = 0;
    tell();
    tell();
    // The heartbeat has nothing to add.
    const changesTold = (page: FakePage) =>
      page.heard.flatMap((message) => (message.type === 'update' && message.live !== null ? [message.live] : []));
    const [first, ...later] = changesTold(slow);
    expect(later).toEqual([[standingAt(3)], { status: { run: { step: [4], loss: [4 / 7] } } }]);
    const differences = changesTold(quick);
    expect(differences).toHaveLength(4);
    expect(differences[0]).toEqual(first);
    expect(differences.reduce<unknown>(applyDifference, standingAt(0))).toEqual(standingAt(4));
  });

  it('ends its timers when the last page leaves, and begins again with the next one', async () => {
    const { feed, clock } = startFeed();
    const page = await joined(feed, clock);
    feed.leave(page);
    expect(clock.running).toBe(0);
    feed.add(stepLine(1));
    expect(clock.running).toBe(0);
    const next = await joined(feed, clock);
    expect(next.heard).toMatchObject([greeting, { type: 'history', steps: { step: [1] } }]);
  });

  it('says the last word to slow pages too', async () => {
    const { feed, clock } = startFeed();
    const page = await joined(feed, clock);
    page.bufferedBytes = 1 << 20;
    feed.end(greeting);
    expect(page.heard.at(-1)).toEqual(greeting);
  });
});
