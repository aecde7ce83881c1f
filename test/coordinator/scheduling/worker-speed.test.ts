import { expect, it } from 'vitest';
import { WorkerSpeed } from '../../../coordinator/scheduling/worker-speed.js';

it('the speed of a worker is estimated from its fifth answer on', () => {
  const speed = new WorkerSpeed();
  expect(speed.imagesPerSecond).toBe(0);
  for (let answer = 0; answer < 4; answer++) speed.computed(32, 64);
  expect(speed.imageMs).toBeUndefined();
  // The displayed speed is available after the first answer: 64 ms / 32 images = 2 ms per image, or 500 images/s.
  expect(speed.imagesPerSecond).toBe(500);
  speed.computed(32, 64);
  expect(speed.imageMs).toBe(2);
});

it('a slow first slice and a disturbed one do not change the estimate', () => {
  const speed = new WorkerSpeed();
  for (const ms of [896, 64, 64, 640, 96]) speed.computed(32, ms);
  // 3 is the median of 2, 2, 3, 20 and 28 ms per image.
  expect(speed.imageMs).toBe(3);
});

it('only the latest nine answers count', () => {
  const speed = new WorkerSpeed();
  for (let answer = 0; answer < 9; answer++) speed.computed(32, 64);
  for (let answer = 0; answer < 5; answer++) speed.computed(32, 32);
  // The window has four answers of 2 ms per image and five of 1 ms per image.
  expect(speed.imageMs).toBe(1);
});

it('the overhead of an answer is also a median, and 0 before the fifth answer', () => {
  const speed = new WorkerSpeed();
  for (const ms of [7, 90, 8, 6]) speed.waited(ms);
  expect(speed.overheadMs).toBe(0);
  speed.waited(5);
  expect(speed.overheadMs).toBe(7);
});
