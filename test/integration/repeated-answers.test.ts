// Answers that come twice or too late change nothing. Between a worker's process and the coordinator stands a relay of
// whole messages, which says again what the worker has said before.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { decodeFrame } from '../../shared/protocol/frame.js';
import { parseWorkerMessage, type GradientMessage } from '../../shared/protocol/messages.js';
import { startCli } from '../support/cli.js';
import { startFaulted } from '../support/faulted-cluster.js';

let quiet: string;
beforeAll(async () => {
  const cluster = await startFaulted({ minWorkers: 2 });
  await cluster.start('w1');
  await cluster.start('w2');
  quiet = (await cluster.finish()).weightsSha256;
});

let relay: WebSocketServer | undefined;
afterEach(() => relay?.close());

/**
 * @param echo what is sent to the coordinator besides a gradient, behind it; all gradients so far are given, the newest last
 * @returns where a worker finds the relay
 */
async function relayTo(
  coordinatorUrl: string,
  echo: (gradients: readonly { message: GradientMessage; bytes: Buffer }[]) => readonly Buffer[],
): Promise<string> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  relay = server;
  await once(server, 'listening');
  server.on('connection', (worker) => {
    const coordinator = new WebSocket(`${coordinatorUrl}/worker`, { perMessageDeflate: false });
    const gradients: { message: GradientMessage; bytes: Buffer }[] = [];
    const opened = once(coordinator, 'open');
    coordinator.on('message', (bytes: Buffer) => worker.send(bytes));
    coordinator.on('close', () => worker.close());
    worker.on('close', () => coordinator.close());
    async function passOn(bytes: Buffer): Promise<void> {
      await opened;
      if (coordinator.readyState !== WebSocket.OPEN) return;
      coordinator.send(bytes);
      const message = parseWorkerMessage(decodeFrame(bytes).header);
      if (message.type !== 'gradient') return;
      gradients.push({ message, bytes });
      for (const again of echo(gradients)) coordinator.send(again);
    }
    worker.on('message', (bytes: Buffer) => void passOn(bytes));
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('the weights are those of a quiet run', () => {
  it('when a worker repeats the gradients of steps that are over, and it stays', async () => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const url = await relayTo(cluster.coordinator.url, (gradients) =>
      // After its answer to step 3, once more those to the steps before.
      gradients.at(-1)?.message.step === 3 ? gradients.slice(0, -1).map(({ bytes }) => bytes) : [],
    );
    const worker = startCli(['worker', url, '--engine', 'wasm', '--name', 'w1', '--no-cache']);
    await cluster.start('w2');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 0, weightsSha256: quiet });
    expect(await worker.exited).toBe(0);
  });

  it('when a worker says every gradient twice', async () => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const url = await relayTo(cluster.coordinator.url, (gradients) => gradients.slice(-1).map(({ bytes }) => bytes));
    const worker = startCli(['worker', url, '--engine', 'wasm', '--name', 'w1', '--no-cache']);
    await cluster.start('w2');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, weightsSha256: quiet });
    await worker.exited;
  });
});
