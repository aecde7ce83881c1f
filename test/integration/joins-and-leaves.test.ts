// 1,000 workers join a run with a join link and leave it, half of them abruptly: the coordinator keeps nothing of them.
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import { parseCoordinatorMessage, protocolVersion, type Hello } from '../../shared/protocol/messages.js';
import { fakeEngine } from '../support/fake-engine.js';
import { startCluster } from '../support/local-cluster.js';

const joins = 1_000;
/** Number of joins after which the status remembers as many lost workers as it ever will. */
const warmUp = 200;
const atOnce = 20;
/**
 * Growth that is not a leak: the memory of V8 fluctuates. What a leaked connection holds is several times as much, with
 * its socket, its buffers and its timers.
 */
const maxGrowthBytes = 5_000 * (joins - warmUp);

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

const identity = { engine: 'wasm', fingerprint: 'wasm/fake', device: 'a fake device' };

/** Joins, and leaves without computing the slices that it may have been assigned. */
async function joinAndLeave(url: string, token: string, count: number): Promise<void> {
  const socket = new WebSocket(`${url}/worker`, { perMessageDeflate: false });
  await once(socket, 'open');
  const hello = { type: 'hello', protocolVersion, lockstepVersion: '0', token, name: `visitor-${count}` } as const;
  socket.send(encodeFrame({ ...hello, engines: [identity], cachedShards: [] } satisfies Hello));
  await new Promise<void>((resolve) => {
    socket.on('message', (message: Buffer) => {
      if (parseCoordinatorMessage(decodeFrame(message).header).type === 'use-engine') resolve();
    });
  });
  if (count % 2 === 0) socket.close(1000);
  else socket.terminate();
  await once(socket, 'close');
}

it('1,000 joins and leaves leak neither memory nor sockets', async () => {
  // The honest worker computes one slice for each batch of visitors, so that they come and go while steps are running.
  let computable = 0;
  let wake = () => {};
  const isDue = () => computable > 0;
  const pace = async () => {
    while (!isDue()) await new Promise<void>((resolve) => (wake = resolve));
    computable--;
  };
  const cluster = await startCluster({ joinLink: true, steps: 1_000, stragglerFactor: 0, tensorboard: false });
  onTestFinished(() => {
    computable = Infinity;
    wake();
    return cluster.close();
  });
  const { coordinator } = cluster;
  const { hash } = new URL(coordinator.joinLink()!.url);
  await cluster.join({ engine: { ...fakeEngine({ beforeSlice: pace }), identity } });

  /** Waits until the coordinator has noticed that the visitors have left. @returns what it uses */
  async function usage() {
    await expect.poll(() => coordinator.joinLink()?.workers).toBe(0);
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    const sockets = process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP'));
    return { bytes: heapUsed + arrayBuffers, sockets: sockets.length };
  }

  let before = await usage();
  for (let joined = 0; joined < joins; joined += atOnce) {
    if (joined === warmUp) before = await usage();
    const visitors = Array.from({ length: atOnce }, (_, index) =>
      joinAndLeave(coordinator.url, hash.slice(1), joined + index),
    );
    await Promise.all(visitors);
    computable++;
    wake();
  }
  const after = await usage();
  expect(after.sockets).toBe(before.sockets);
  expect(after.bytes - before.bytes).toBeLessThan(maxGrowthBytes);
});
