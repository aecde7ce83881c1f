import { describe, expect, it } from 'vitest';
import { WorkerTime } from '../../../coordinator/scheduling/worker-time.js';

describe("a worker's time", () => {
  it('is unknown before the first answer', () => {
    const time = new WorkerTime();
    time.assigned(0);
    expect(time.shares(1000)).toBeNull();
  });

  it('is divided into what it computed, what lay on the way, and what it waited', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.answered(100, 80); // 80 computing, 20 on the way
    time.assigned(150); // 50 waiting
    time.answered(200, 40); // 40 and 10
    // 400 ms in all: 120 computing, 30 on the way, the other 250 waiting.
    expect(time.shares(400)).toEqual({ compute: 0.3, network: 0.075, waiting: 0.625 });
    // While it is at something, that is not judged yet: 120, 30 and 250 of 400 still.
    time.assigned(400);
    expect(time.shares(9000)).toEqual({ compute: 0.3, network: 0.075, waiting: 0.625 });
  });

  it('counts an order that others have answered as computed on', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.assigned(60);
    time.answered(100, 40);
    expect(time.shares(100)).toEqual({ compute: 1, network: 0, waiting: 0 });
  });

  it('cannot be computed in more than there was', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.answered(100, Infinity);
    expect(time.shares(200)).toEqual({ compute: 0.5, network: 0, waiting: 0.5 });
  });

  it('is that of the latest 20 orders', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.answered(1000, 0);
    for (let order = 0; order < 20; order++) {
      time.assigned(1000 + 10 * order);
      time.answered(1010 + 10 * order, 10);
    }
    expect(time.shares(1200)).toEqual({ compute: 1, network: 0, waiting: 0 });
  });
});
