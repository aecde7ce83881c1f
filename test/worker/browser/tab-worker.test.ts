import { describe, expect, it } from 'vitest';
import type { WorkerSummary } from '../../../shared/worker/events.js';
import { TabWorker } from '../../../worker/browser/tab-worker.js';

/** Stands for one membership in the run. */
class Membership {
  reconnects = 0;
  #end!: (summary: WorkerSummary) => void;
  readonly #done = new Promise<WorkerSummary>((resolve) => (this.#end = resolve));

  run(): Promise<WorkerSummary> {
    return this.#done;
  }

  stop(reason: string): void {
    this.#end({ reason, images: 10 });
  }

  reconnectNow(): void {
    this.reconnects++;
  }
}

function start() {
  const memberships: Membership[] = [];
  const pauses: boolean[] = [];
  const worker = new TabWorker(
    () => memberships[memberships.push(new Membership()) - 1],
    (isPaused) => pauses.push(isPaused),
  );
  return { memberships, pauses, worker, done: worker.run() };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("a tab's worker", () => {
  it('leaves the run during a pause, and counts the images of all memberships', async () => {
    const { memberships, pauses, worker, done } = start();
    worker.receive({ type: 'pause' });
    await settled();
    expect([memberships.length, pauses]).toEqual([1, [true]]);
    worker.receive({ type: 'resume' });
    await settled();
    expect([memberships.length, pauses]).toEqual([2, [true, false]]);
    memberships[1].stop('the run has ended');
    expect(await done).toEqual({ reason: 'the run has ended', images: 20 });
  });

  it('rejoins if the pause is over before it has left', async () => {
    const { memberships, worker, done } = start();
    worker.receive({ type: 'pause' });
    worker.receive({ type: 'resume' });
    await settled();
    expect(memberships).toHaveLength(2);
    memberships[1].stop('the run has ended');
    expect(await done).toEqual({ reason: 'the run has ended', images: 20 });
  });

  it('stays paused if it is paused again before it has rejoined', async () => {
    const { memberships, pauses, worker } = start();
    worker.receive({ type: 'pause' });
    await settled();
    worker.receive({ type: 'resume' });
    worker.receive({ type: 'pause' });
    await settled();
    expect([memberships.length, pauses]).toEqual([1, [true]]);
  });

  it('can be stopped at work and during a pause', async () => {
    const atWork = start();
    atWork.worker.receive({ type: 'stop', reason: 'left' });
    expect(await atWork.done).toEqual({ reason: 'left', images: 10 });

    const paused = start();
    paused.worker.receive({ type: 'pause' });
    await settled();
    paused.worker.receive({ type: 'stop', reason: 'left' });
    expect(await paused.done).toMatchObject({ images: 10 });
    expect(paused.memberships).toHaveLength(1);
  });

  it('reconnects at once when the network is back', () => {
    const { memberships, worker } = start();
    worker.receive({ type: 'online' });
    expect(memberships[0].reconnects).toBe(1);
  });
});
