import { expect, it } from 'vitest';
import { WorkerSpeed } from '../../../coordinator/scheduling/worker-speed.js';

it('a worker is judged from its fifth answer on', () => {
  const speed = new WorkerSpeed();
  expect(speed.imagesPerSecond).toBe(0);
  for (let answer = 0; answer < 4; answer++) speed.computed(32, 64);
  expect(speed.imageMs).toBeUndefined();
  // 500 images a second, for people, from the first one on: 2 ms an image.
  expect(speed.imagesPerSecond).toBe(500);
  speed.computed(32, 64);
  expect(speed.imageMs).toBe(2);
});

it('a slow first slice and one that was disturbed do not count', () => {
  const speed = new WorkerSpeed();
  for (const ms of [896, 64, 64, 640, 96]) speed.computed(32, ms);
  // 2, 2, 3, 20 and 28 ms an image: the middle one.
  expect(speed.imageMs).toBe(3);
});

it('what is long past is forgotten', () => {
  const speed = new WorkerSpeed();
  for (let answer = 0; answer < 9; answer++) speed.computed(32, 64);
  for (let answer = 0; answer < 5; answer++) speed.computed(32, 32);
  // Four of 2 ms and five of 1 ms an image are kept.
  expect(speed.imageMs).toBe(1);
});

it('what an answer takes besides is a median too, and nothing before the fifth', () => {
  const speed = new WorkerSpeed();
  for (const ms of [7, 90, 8, 6]) speed.waited(ms);
  expect(speed.overheadMs).toBe(0);
  speed.waited(5);
  expect(speed.overheadMs).toBe(7);
});
