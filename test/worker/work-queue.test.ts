import { describe, expect, it, vi } from 'vitest';
import { WorkQueue } from '../../worker/work-queue.js';

/** Returns a queue whose jobs log their start and end. The queue waits for its device until `start` is called. */
function newQueue() {
  const onFailure = vi.fn<(error: unknown) => void>();
  let start!: (device: string) => void;
  const queue = new WorkQueue(new Promise<string>((resolve) => (start = resolve)), onFailure);
  const log: string[] = [];
  const add = (step: number, name: string) =>
    queue.add(step, async (device) => {
      log.push(`${name} starts on ${device}`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`${name} ends`);
    });
  /** Resolves when all jobs added earlier have finished. */
  const idle = () => new Promise<void>((resolve) => queue.add(Infinity, () => Promise.resolve(resolve())));
  return { queue, start, add, log, idle, onFailure };
}

describe('a work queue', () => {
  it('runs its jobs one after another, once the device is open', async () => {
    const { start, add, log, idle } = newQueue();
    add(0, 'a');
    add(0, 'b');
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual([]);
    start('gpu');
    await idle();
    expect(log).toEqual(['a starts on gpu', 'a ends', 'b starts on gpu', 'b ends']);
  });

  it('drops waiting jobs of earlier steps', async () => {
    const { queue, start, add, log, idle } = newQueue();
    for (const step of [0, 1, 2]) add(step, `step ${step}`);
    queue.dropBefore(2);
    start('gpu');
    await idle();
    expect(log).toEqual(['step 2 starts on gpu', 'step 2 ends']);
  });

  it('reports a job that fails, and continues with the next one', async () => {
    const { queue, start, add, log, idle, onFailure } = newQueue();
    const error = new Error('out of memory');
    queue.add(0, () => Promise.reject(error));
    add(0, 'b');
    start('gpu');
    await idle();
    expect(onFailure.mock.calls).toEqual([[error]]);
    expect(log).toEqual(['b starts on gpu', 'b ends']);
  });

  it('drops all waiting jobs when it is closed, and waits for the current one', async () => {
    const { queue, start, add, log } = newQueue();
    const closed = new Promise<void>((resolve) => {
      queue.add(0, async () => {
        resolve(queue.close());
        await new Promise((resume) => setImmediate(resume));
        log.push('a ends');
      });
    });
    add(0, 'b');
    start('gpu');
    await closed;
    expect(log).toEqual(['a ends']);
  });

  it('accepts a limited number of waiting jobs', () => {
    const { add } = newQueue();
    for (let count = 0; count < 16_384; count++) add(0, 'a');
    expect(() => add(0, 'a')).toThrow(expect.objectContaining({ name: 'ProtocolError' }));
  });
});
