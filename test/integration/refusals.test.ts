// Refused workers, and the reasons that both sides report. Uses real sockets in one process.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import { parseCoordinatorMessage, protocolVersion } from '../../shared/protocol/messages.js';
import { startWorker } from '../../worker/main.js';
import { runCli, startCli } from '../support/cli.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { freePort } from '../support/free-port.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';
import { resnetLayout } from '../support/resnet-layout.js';

const inFolder = folderPerFile();
let cluster: Cluster;
afterEach(() => cluster.close());

const hello = {
  type: 'hello',
  protocolVersion,
  lockstepVersion: '0.1.0',
  token: '',
  name: 'by hand',
  engines: [{ engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' }],
  cachedShards: [],
};

/** Adds a worker whose first slice waits until the returned function is called. Resolves when the engine is chosen. */
async function joinHeldUp(): Promise<() => void> {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const chosen = once(cluster.coordinator.events, 'engine-chosen');
  await cluster.join({ engine: fakeEngine({ beforeSlice: () => held }) });
  await chosen;
  return release;
}

/** Sends one message on a new connection. @returns the coordinator's answer */
async function answerTo(message: Uint8Array): Promise<unknown> {
  const socket = new WebSocket(`${cluster.coordinator.url}/worker`);
  await once(socket, 'open');
  socket.send(message);
  const [data] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return parseCoordinatorMessage(decodeFrame(data).header);
}

describe('a worker is refused', () => {
  it('if its token is unknown, with the option to set', async () => {
    cluster = await startCluster({ token: 'open sesame' });
    const worker = await cluster.join({ token: 'open barley' });
    await expect(worker.done).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(
        /the worker presented an unknown token: set one .* with LOCKSTEP_TOKEN or `tokenFile`/,
      ),
    });
  });

  it('if it has no token and the coordinator requires one', async () => {
    cluster = await startCluster({ token: 'open sesame' });
    const worker = await cluster.join();
    await expect(worker.done).rejects.toMatchObject({
      message: expect.stringContaining('the worker presented no token'),
    });
  });

  it('if its protocol version differs, whatever else is in its hello', async () => {
    cluster = await startCluster();
    const later = { ...hello, protocolVersion: 99, mood: 'fine' };
    expect(await answerTo(encodeFrame(later))).toMatchObject({
      type: 'refusal',
      code: 'protocol-version',
      message: expect.stringMatching(/version 99, .* version \d+: update the coordinator/),
    });
    const earlier = { ...hello, protocolVersion: 0 };
    expect(await answerTo(encodeFrame(earlier))).toMatchObject({
      message: expect.stringContaining('update the worker'),
    });
  });

  it('if its first message is not a hello, or not a message', async () => {
    cluster = await startCluster();
    expect(await answerTo(encodeFrame({ type: 'failure', code: 'engine-failed', message: 'x' }))).toMatchObject({
      code: 'bad-message',
    });
    expect(await answerTo(Buffer.from([1, 2, 3]))).toMatchObject({ code: 'bad-message' });
    expect(await answerTo(encodeFrame({ ...hello, name: 7 }))).toMatchObject({
      message: expect.stringMatching(/invalid message of type hello: name: /),
    });
  });

  it("by an exact run if it lacks the run's fingerprint, with both fingerprints", async () => {
    cluster = await startCluster({ exact: true });
    const release = await joinHeldUp();
    const other = await cluster.join({ engine: fakeEngine({ fingerprint: 'fake/2' }) });
    await expect(other.done).rejects.toMatchObject({ message: expect.stringMatching(/fake\/1.*fake\/2/) });
    release();
    expect(await cluster.coordinator.report).toMatchObject({ exact: true, fingerprint: 'fake/1', workersJoined: 1 });
  });

  it('if it does not offer the engine that the coordinator requires', async () => {
    cluster = await startCluster({ engine: 'wasm' });
    const worker = await cluster.join();
    await expect(worker.done).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining(
        'the run uses the wasm engine, but this worker offers fake/1: start it with `engine`',
      ),
    });
  });

  it('with a goodbye if the run has ended, which is not a failure of the worker', async () => {
    cluster = await startCluster({ steps: 1 });
    const worker = await cluster.join();
    await cluster.coordinator.report;
    expect((await worker.done).reason).toBe('the run has ended');
  });
});

describe('on a terminal', () => {
  it('the message of a refusal is printed on one line, without control characters', async () => {
    cluster = await startCluster();
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    const message = 'go away\u001b[2J\u009b1A\nlockstep: done';
    server.on('connection', (socket) =>
      socket.on('message', () => {
        socket.send(encodeFrame({ type: 'refusal', code: 'token', message }));
        socket.close(1008);
      }),
    );
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { status, output } = await runCli(['worker', url, '--engine', 'wasm', '--no-cache', '--quiet']);
    server.close();
    expect(output).toBe(
      `lockstep: ${url} refused this worker (token): go away\\u{1b}[2J\\u{9b}1A\\u{a}lockstep: done\n`,
    );
    expect(status).toBe(1);
  });

  it("a worker's name is printed without control characters, by the coordinator and by workers", async () => {
    const endless = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--min-workers', '2'];
    const place = ['--port', '0', '--run-dir', inFolder('run'), '--data', inFolder('images'), '--no-tensorboard'];
    await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 100, testImages: 50 }));
    const run = startCli(['coordinator', ...endless, ...place]);
    const [, url] = await run.says(/lockstep worker (ws:\S+)/);
    cluster = await startCluster();
    const name = 'evil\u001b[2J\u202e\nweights 00 (exact)';
    const shown = 'evil\\u{1b}[2J\\u{202e}\\u{a}weights 00 (exact)';
    await cluster.join({ url, name });
    await run.says(`\n${shown} joined (fake/1), 1 worker now\n`);
    expect((await runCli(['workers', url])).output).toContain(`\n${shown}  `);
    run.child.kill('SIGINT');
    expect(await run.exited).toBe(130);
    expect(run.output()).not.toContain('\u001b');
  });
});

describe('an admitted worker is dismissed', () => {
  const phases = { waitMs: 0, augmentMs: 0, computeMs: 0, reduceMs: 0, sendMs: 0 };

  /**
   * Connects a worker that answers its first slice range with the given payload, and with a message changed by `lie`.
   */
  async function answering(payload: Uint8Array, lie: object): Promise<void> {
    const socket = new WebSocket(`${cluster.coordinator.url}/worker`);
    await once(socket, 'open');
    socket.send(encodeFrame(hello));
    socket.on('message', (data: Buffer) => {
      const message = parseCoordinatorMessage(decodeFrame(data).header);
      if (message.type !== 'compute') return;
      const { step, ranges } = message;
      const [range] = ranges;
      // A global batch of 32 images in 4 slices has 8 images per slice.
      const slices = Array.from({ length: range.count }, () => ({ lossSum: 0, correctCount: 8 }));
      const honest = { type: 'gradient', step, range, sampleCount: 8 * range.count, slices, phases };
      socket.send(encodeFrame({ ...honest, ...lie }, payload));
    });
  }

  const oneSlice = { range: { first: 0, count: 1 }, sampleCount: 8, slices: [{ lossSum: 0, correctCount: 8 }] };

  it.each([
    ['a gradient without bytes', {}, /expected a payload of [0-9]+ bytes, received 0/],
    // Each of the two workers is assigned one range of two slices.
    ['the gradient of a range that it was not assigned', oneSlice, /answered slice 0, which it had not been assigned/],
    ['the gradient of a later step', { step: 7 }, /answered step 7, which it had not been assigned/],
  ])('if it sends %s, and the run continues without it', async (_, lie, reason) => {
    cluster = await startCluster({ minWorkers: 2 });
    await answering(new Uint8Array(), lie);
    await cluster.join();
    const [lost] = await once(cluster.coordinator.events, 'worker-lost');
    expect(lost).toMatchObject({ name: 'by hand', reason: expect.stringMatching(reason) });
    expect(await cluster.coordinator.report).toMatchObject({ workersLost: 1, steps: 14 });
  });

  it.each([
    [
      'too many images',
      { sampleCount: 1e9 },
      /of slice 0 covers 8 images in 1 slices, .* reports 1000000000 images in 1$/,
    ],
    ['too few images', { sampleCount: 1 }, /of slice 0 covers 8 images in 1 slices, .* reports 1 images in 1$/],
    ['too many slices', { slices: [...oneSlice.slices, ...oneSlice.slices] }, /reports 8 images in 2$/],
    [
      'too many correct images',
      { slices: [{ lossSum: 0, correctCount: 9 }] },
      /reports 9 of 8 images correct in slice 0$/,
    ],
  ])('if it reports %s, and the weights are those of an honest run', async (_, lie, reason) => {
    cluster = await startCluster({ minWorkers: 2 });
    const { weightsSize, statisticsSize } = resnetLayout(cluster.coordinator.config);
    // The payload has the correct length; only the fields of the message lie.
    await answering(new Uint8Array(4 * (weightsSize + statisticsSize)), { ...oneSlice, ...lie });
    await cluster.join();
    const [lost] = await once(cluster.coordinator.events, 'worker-lost');
    expect(lost).toMatchObject({ name: 'by hand', reason: expect.stringMatching(reason) });
    expect((await cluster.coordinator.report).weightsSha256).toBe(await hashWith(1));
  });
});

describe('a worker with another fingerprint', () => {
  it('may join an inexact run, and the report says so', async () => {
    cluster = await startCluster();
    const release = await joinHeldUp();
    const inexact = once(cluster.coordinator.events, 'inexact');
    await cluster.join({ engine: fakeEngine({ fingerprint: 'fake/2' }), name: 'other' });
    expect((await inexact)[0]).toMatchObject({ name: 'other', fingerprint: 'fake/2', expected: 'fake/1' });
    release();
    const report = await cluster.coordinator.report;
    expect(report.exact).toBe(false);
    expect(report.engines).toEqual([
      { engine: 'fake', fingerprint: 'fake/1', workers: 1 },
      { engine: 'fake', fingerprint: 'fake/2', workers: 1 },
    ]);
  });
});

describe('a worker that cannot connect', () => {
  it('exits with status 1 after --reconnect-timeout, with the URL that it could not reach', async () => {
    cluster = await startCluster();
    const port = await freePort();
    const args = ['worker', `ws://127.0.0.1:${port}`, '--engine', 'wasm', '--no-cache', '--reconnect-timeout', '1'];
    const { status, output } = await runCli(args);
    expect(output).toMatch(
      new RegExp(
        `^lockstep: ws://127\\.0\\.0\\.1:${port} could not be reached for 1 s \\(.*\\): check that the coordinator is running and accepts workers$`,
        'm',
      ),
    );
    expect(status).toBe(1);
  });

  it('retries until reconnectTimeoutMs, then rejects with the address and the reason', async () => {
    cluster = await startCluster();
    // Nothing listens on port 9 (discard) on loopback.
    const worker = await startWorker({
      url: 'ws://127.0.0.1:9',
      engine: fakeEngine(),
      cache: null,
      reconnectTimeoutMs: 1,
    });
    await expect(worker.done).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringMatching(/ws:\/\/127\.0\.0\.1:9 .*ECONNREFUSED/),
    });
  });

  it('rejects an invalid URL at once', async () => {
    cluster = await startCluster();
    await expect(startWorker({ url: 'http://127.0.0.1:1', engine: fakeEngine() })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('it must be ws://HOST:PORT'),
    });
  });
});
