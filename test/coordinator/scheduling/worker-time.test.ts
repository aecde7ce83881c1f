import { describe, expect, it } from 'vitest';
import { WorkerTime } from '../../../coordinator/scheduling/worker-time.js';

describe('WorkerTime', () => {
  it('has no shares before the first answer', () => {
    const time = new WorkerTime();
    time.assigned(0);
    expect(time.shares(1000)).toBeNull();
  });

  it('divides the time into computation, network and waiting', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.answered(100, 80); // 80 ms computation, 20 ms network
    time.assigned(150); // 50 ms waiting
    time.answered(200, 40); // 40 ms computation, 10 ms network
    // Of 400 ms, 120 ms were computation, 30 ms network and the remaining 250 ms waiting.
    expect(time.shares(400)).toEqual({ compute: 0.3, network: 0.075, waiting: 0.625 });
    // The current assignment does not count yet: the shares are still 120, 30 and 250 of 400 ms.
    time.assigned(400);
    expect(time.shares(9000)).toEqual({ compute: 0.3, network: 0.075, waiting: 0.625 });
  });

  it('counts dropped work as computation', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.assigned(60);
    time.answered(100, 40);
    expect(time.shares(100)).toEqual({ compute: 1, network: 0, waiting: 0 });
  });

  it('limits reported computation to the time since the assignment', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.answered(100, Infinity);
    expect(time.shares(200)).toEqual({ compute: 0.5, network: 0, waiting: 0.5 });
  });

  it('covers the latest 20 assignments', () => {
    const time = new WorkerTime();
    time.assigned(0);
    time.answered(1000, 0);
    for (let index = 0; index < 20; index++) {
      time.assigned(1000 + 10 * index);
      time.answered(1010 + 10 * index, 10);
    }
    expect(time.shares(1200)).toEqual({ compute: 1, network: 0, waiting: 0 });
  });
});
