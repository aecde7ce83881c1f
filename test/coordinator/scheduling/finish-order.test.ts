import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { FinishOrder } from '../../../coordinator/scheduling/finish-order.js';

it('always has the worker first that would finish first, or the one with the lowest index of several', () => {
  const times = fc.integer({ min: 1, max: 4 });
  fc.assert(
    fc.property(fc.array(times, { minLength: 1, maxLength: 20 }), fc.array(times), (finishMs, delays) => {
      const order = new FinishOrder(finishMs);
      const expected = [...finishMs];
      for (const delayMs of delays) {
        const first = expected.indexOf(Math.min(...expected));
        expect(order.first).toBe(first);
        expected[first] += delayMs;
        order.postponeFirst(expected[first]);
      }
    }),
  );
});
