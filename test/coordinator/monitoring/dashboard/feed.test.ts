// Tests what the feed sends to dashboard pages and how often, and that it computes nothing while no page is open.
import { describe, expect, it } from 'vitest';
import { Feed, type Subscriber } from '../../../../coordinator/monitoring/dashboard/feed.js';
import { RunHistory, type HistoryLine } from '../../../../coordinator/monitoring/dashboard/run-history.js';
import { applyDifference } from '../../../../shared/monitoring/difference.js';
import type { LiveState, WatchMessage } from '../../../../shared/monitoring/messages.js';
import { FakeClock } from '../../../support/fake-clock.js';

const time = '2026-01-01T00:00:00.000Z';
const stepLine = (step: number): HistoryLine => ({
  type: 'step',
  time,
  step,
  epoch: 1,
  loss: 2,
  accuracy: 0.5,
  learningRate: 0.1,
  imagesPerSecond: 100,
});
const eventLine = (step: number): HistoryLine => ({ type: 'event', time, step, event: 'checkpoint', detail: 'x' });

const greeting = { type: 'ended', ending: { how: 'failed', message: 'a placeholder' } } as const;

/** Minimum time between two updates to a page. */
const pauseMs = 250;

class FakePage implements Subscriber {
  readonly received: WatchMessage[] = [];
  bufferedBytes = 0;
  send(text: string): void {
    this.received.push(JSON.parse(text) as WatchMessage);
  }
  close(): void {
    throw new Error('a feed must not close pages');
  }
}

function startFeed(recorded: readonly HistoryLine[] = [], live: () => LiveState | null = () => null) {
  const clock = new FakeClock();
  let liveCalls = 0;
  const feed = new Feed({
    clock,
    greeting,
    readHistory() {
      const history = new RunHistory();
      for (const line of recorded) history.add(line);
      return Promise.resolve(history);
    },
    live() {
      liveCalls++;
      return live();
    },
  });
  return { clock, feed, liveCalls: () => liveCalls };
}

async function openPage(feed: Feed, clock: FakeClock): Promise<FakePage> {
  const page = new FakePage();
  await feed.subscribe(page);
  clock.advance(pauseMs);
  return page;
}

describe('a feed', () => {
  it('computes nothing while no page is open', () => {
    const { feed, clock, liveCalls } = startFeed();
    for (let step = 1; step <= 1_000; step++) feed.add(stepLine(step));
    feed.changed();
    clock.advance(60_000);
    expect(liveCalls()).toBe(0);
    expect(clock.running).toBe(0);
  });

  it('sends everything at first, then only what is new', async () => {
    const { feed, clock } = startFeed([stepLine(1), stepLine(2), eventLine(2)]);
    const page = await openPage(feed, clock);
    expect(page.received).toMatchObject([
      greeting,
      { type: 'history', steps: { step: [1, 2] }, events: [{ event: 'checkpoint' }] },
    ]);
    page.received.length = 0;
    feed.add(stepLine(3));
    feed.add(eventLine(3));
    clock.advance(pauseMs);
    expect(page.received).toMatchObject([{ type: 'update', steps: [{ step: 3 }], events: [{ step: 3 }] }]);
  });

  it('sends lines that were added while the history was read exactly once', async () => {
    const { feed, clock } = startFeed([stepLine(1)]);
    const page = new FakePage();
    const subscribing = feed.subscribe(page);
    feed.add(stepLine(2));
    await subscribing;
    clock.advance(pauseMs);
    expect(page.received).toMatchObject([greeting, { type: 'history', steps: { step: [1, 2] } }]);
  });

  it('sends at most four updates per second, however much happens', async () => {
    const { feed, clock } = startFeed();
    const page = await openPage(feed, clock);
    page.received.length = 0;
    for (let step = 1; step <= 1_000; step++) {
      feed.add(stepLine(step));
      clock.advance(1);
    }
    // The first update is sent within 250 ms, and then one every 250 ms.
    expect(page.received.length).toBeGreaterThanOrEqual(4);
    expect(page.received.length).toBeLessThanOrEqual(5);
    const sent = page.received.flatMap((message) => (message.type === 'update' ? message.steps : []));
    expect(sent.map(({ step }) => step)).toEqual(Array.from({ length: sent.length }, (_, index) => index + 1));
  });

  it('skips a page that does not keep up, and later sends it everything it missed in one message', async () => {
    const { feed, clock } = startFeed();
    const [slow, quick] = [await openPage(feed, clock), await openPage(feed, clock)];
    slow.received.length = 0;
    quick.received.length = 0;
    slow.bufferedBytes = 1 << 20;
    for (let step = 1; step <= 3_000; step++) {
      feed.add(stepLine(step));
      if (step % 100 === 0) clock.advance(pauseMs);
    }
    expect(slow.received).toEqual([]);
    expect(quick.received.length).toBeGreaterThan(20);
    slow.bufferedBytes = 0;
    feed.changed();
    clock.advance(pauseMs);
    // For a page this far behind, the whole history is smaller than the missed lines.
    expect(slow.received).toMatchObject([{ type: 'history', steps: { stepsPerPoint: 4 } }]);
  });

  it('sends the difference from the last live state, and the whole state to a page that missed one', async () => {
    let step = 0;
    const stateAt = (count: number) => ({
      status: { run: { step: count, loss: count / 7 }, workers: ['attic'] },
      step: null,
    });
    const { feed, clock } = startFeed([], () => stateAt(step) as unknown as LiveState);
    const [slow, quick] = [await openPage(feed, clock), await openPage(feed, clock)];
    for (const page of [slow, quick]) page.received.length = 0;
    const advance = () => {
      step++;
      feed.changed();
      clock.advance(pauseMs);
    };
    advance();
    expect(slow.received).toMatchObject([{ live: { status: { run: { step: [1], loss: [1 / 7] } } } }]);
    slow.bufferedBytes = 1 << 20;
    advance();
    slow.bufferedBytes = 0;
    advance();
    advance();
    // In updates without a change of the live state, `live` is null.
    const changesSent = (page: FakePage) =>
      page.received.flatMap((message) => (message.type === 'update' && message.live !== null ? [message.live] : []));
    const [first, ...later] = changesSent(slow);
    expect(later).toEqual([[stateAt(3)], { status: { run: { step: [4], loss: [4 / 7] } } }]);
    const differences = changesSent(quick);
    expect(differences).toHaveLength(4);
    expect(differences[0]).toEqual(first);
    expect(differences.reduce<unknown>(applyDifference, stateAt(0))).toEqual(stateAt(4));
  });

  it('stops its timers when the last page is closed, and starts them again with the next one', async () => {
    const { feed, clock } = startFeed();
    const page = await openPage(feed, clock);
    feed.unsubscribe(page);
    expect(clock.running).toBe(0);
    feed.add(stepLine(1));
    expect(clock.running).toBe(0);
    const next = await openPage(feed, clock);
    expect(next.received).toMatchObject([greeting, { type: 'history', steps: { step: [1] } }]);
  });

  it('sends its last message to slow pages too', async () => {
    const { feed, clock } = startFeed();
    const page = await openPage(feed, clock);
    page.bufferedBytes = 1 << 20;
    feed.end(greeting);
    expect(page.received.at(-1)).toEqual(greeting);
  });
});
