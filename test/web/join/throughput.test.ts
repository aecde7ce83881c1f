// Images per second from the times of answers, and when a device counts as a spare.
import { expect, it } from 'vitest';
import { Throughput } from '../../../web/join/throughput.js';

it('averages over the latest answers', () => {
  const throughput = new Throughput(0);
  expect(throughput.imagesPerSecond(0)).toBeUndefined();
  throughput.add(1_000, 64);
  expect(throughput.imagesPerSecond(1_000)).toBeUndefined();
  throughput.add(3_000, 64);
  // 64 images in the 2 s since the first answer
  expect(throughput.imagesPerSecond(3_000)).toBe(32);
  for (let second = 4; second <= 40; second++) throughput.add(1_000 * second, 128);
  // The answers of the last 15 s: 15 intervals of 1 s with 128 images each
  expect(throughput.imagesPerSecond(40_000)).toBe(128);
});

it('averages over four answers of a slow device', () => {
  const throughput = new Throughput(0);
  for (const seconds of [100, 120, 140, 160, 180]) throughput.add(1_000 * seconds, 40);
  // 3 intervals of 20 s with 40 images each
  expect(throughput.imagesPerSecond(180_000)).toBe(2);
});

it('tells a spare from a slow device', () => {
  const throughput = new Throughput(0);
  expect(throughput.isIdle(30_000)).toBe(false);
  expect(throughput.isIdle(30_001)).toBe(true);
  throughput.add(25_000, 64);
  // The longest answer took 25 s, so 75 s without one are not unusual.
  expect(throughput.isIdle(100_000)).toBe(false);
  expect(throughput.isIdle(100_001)).toBe(true);
  throughput.restart(200_000);
  expect(throughput.isIdle(210_000)).toBe(false);
  expect(throughput.imagesPerSecond(210_000)).toBeUndefined();
});
