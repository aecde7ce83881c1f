import { describe, expect, it } from 'vitest';
import { Traffic } from '../../../coordinator/scheduling/traffic.js';

describe('Traffic', () => {
  it('has no rates in the first second', () => {
    const traffic = new Traffic();
    expect(traffic.perSecond(0)).toEqual({ sent: 0, received: 0 });
    traffic.sample(0);
    traffic.sent(1000);
    expect(traffic.perSecond(999)).toEqual({ sent: 0, received: 0 });
    // 1000 bytes in one second.
    expect(traffic.perSecond(1000)).toEqual({ sent: 1000, received: 0 });
  });

  it('covers the last ten seconds', () => {
    const traffic = new Traffic();
    for (let second = 0; second <= 20; second++) {
      traffic.sample(1000 * second);
      // Nothing is sent in the first ten seconds, and then 300 bytes a second.
      if (second >= 10) traffic.sent(300);
      traffic.received(70);
    }
    expect(traffic).toMatchObject({ bytesSent: 3300, bytesReceived: 1470 });
    // The samples go back to the tenth second, since which 3300 and 770 bytes have passed in 11 seconds.
    expect(traffic.perSecond(21_000)).toEqual({ sent: 300, received: 70 });
  });

  it('ignores samples within a second of the one before', () => {
    const traffic = new Traffic();
    for (let ms = 0; ms < 1000; ms += 10) traffic.sample(ms);
    traffic.sent(500);
    // Since the sample at 0 ms: 500 bytes in 2 seconds.
    expect(traffic.perSecond(2000)).toEqual({ sent: 250, received: 0 });
  });
});
