// Repeated and late answers have no effect. A proxy between a worker process and the coordinator forwards messages and
// repeats some of the worker's answers.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { decodeFrame } from '../../shared/protocol/frame.js';
import { parseWorkerMessage, type GradientMessage } from '../../shared/protocol/messages.js';
import { startCli } from '../support/cli.js';
import { startFaulted } from '../support/faulted-cluster.js';

let expectedSha256: string;
beforeAll(async () => {
  const cluster = await startFaulted({ minWorkers: 2 });
  await cluster.start('w1');
  await cluster.start('w2');
  expectedSha256 = (await cluster.finish()).weightsSha256;
});

let proxy: WebSocketServer | undefined;
afterEach(() => proxy?.close());

/**
 * @param repeat receives all gradients so far, the latest last, and returns the messages to repeat after the latest
 * @returns URL to which the worker connects
 */
async function startProxy(
  coordinatorUrl: string,
  repeat: (gradients: readonly { message: GradientMessage; bytes: Buffer }[]) => readonly Buffer[],
): Promise<string> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  proxy = server;
  await once(server, 'listening');
  server.on('connection', (worker) => {
    const coordinator = new WebSocket(`${coordinatorUrl}/worker`, { perMessageDeflate: false });
    const gradients: { message: GradientMessage; bytes: Buffer }[] = [];
    const opened = once(coordinator, 'open');
    coordinator.on('message', (bytes: Buffer) => worker.send(bytes));
    coordinator.on('close', () => worker.close());
    worker.on('close', () => coordinator.close());
    async function forward(bytes: Buffer): Promise<void> {
      await opened;
      if (coordinator.readyState !== WebSocket.OPEN) return;
      coordinator.send(bytes);
      const message = parseWorkerMessage(decodeFrame(bytes).header);
      if (message.type !== 'gradient') return;
      gradients.push({ message, bytes });
      for (const repeated of repeat(gradients)) coordinator.send(repeated);
    }
    worker.on('message', (bytes: Buffer) => void forward(bytes));
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('the weights are those of a run without faults', () => {
  it('when a worker repeats gradients of earlier steps, and it stays connected', async () => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const url = await startProxy(cluster.coordinator.url, (gradients) =>
      // After the answer for step 3, repeat the answers for earlier steps.
      gradients.at(-1)?.message.step === 3 ? gradients.slice(0, -1).map(({ bytes }) => bytes) : [],
    );
    const worker = startCli(['worker', url, '--engine', 'wasm', '--name', 'w1', '--no-cache']);
    await cluster.start('w2');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 0, weightsSha256: expectedSha256 });
    expect(await worker.exited).toBe(0);
  });

  it('when a worker sends every gradient twice', async () => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const url = await startProxy(cluster.coordinator.url, (gradients) => gradients.slice(-1).map(({ bytes }) => bytes));
    const worker = startCli(['worker', url, '--engine', 'wasm', '--name', 'w1', '--no-cache']);
    await cluster.start('w2');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, weightsSha256: expectedSha256 });
    await worker.exited;
  });
});
