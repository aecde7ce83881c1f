// Who may not join, and that both sides say why. Real sockets, in one process.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { layoutModel } from '../../shared/network/layout.js';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import { parseCoordinatorMessage, protocolVersion } from '../../shared/protocol/messages.js';
import { startWorker } from '../../worker/main.js';
import { runCli, startCli } from '../support/cli.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { freePort } from '../support/free-port.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
let cluster: Cluster;
afterEach(() => cluster.close());

const hello = {
  type: 'hello',
  protocolVersion,
  lockstepVersion: '0.1.0',
  token: '',
  name: 'by hand',
  engine: { engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' },
  cachedShards: [],
};

/** Sends one message on a connection of its own. @returns the coordinator's answer */
async function answerTo(message: Uint8Array): Promise<unknown> {
  const socket = new WebSocket(`${cluster.coordinator.url}/worker`);
  await once(socket, 'open');
  socket.send(message);
  const [data] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return parseCoordinatorMessage(decodeFrame(data).header);
}

describe('a worker is refused', () => {
  it('with a wrong token, and told which option is meant', async () => {
    cluster = await startCluster({ token: 'open sesame' });
    const worker = await cluster.join({ token: 'open barley' });
    await expect(worker.done).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/a wrong token was given: pass one .* with LOCKSTEP_TOKEN or --token-file/),
    });
  });

  it('without a token where one is asked for', async () => {
    cluster = await startCluster({ token: 'open sesame' });
    const worker = await cluster.join();
    await expect(worker.done).rejects.toMatchObject({ message: expect.stringContaining('no token was given') });
  });

  it('when it speaks another protocol version, whatever else its hello holds', async () => {
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

  it('when its first message is no hello, or no message at all', async () => {
    cluster = await startCluster();
    expect(await answerTo(encodeFrame({ type: 'failure', message: 'x' }))).toMatchObject({ code: 'bad-message' });
    expect(await answerTo(Buffer.from([1, 2, 3]))).toMatchObject({ code: 'bad-message' });
    expect(await answerTo(encodeFrame({ ...hello, name: 7 }))).toMatchObject({
      message: expect.stringMatching(/hello .* name /),
    });
  });

  it('under --exact when its fingerprint is not the first one, and both are named', async () => {
    cluster = await startCluster({ exact: true, minWorkers: 2 });
    await cluster.join();
    const other = await cluster.join({ engine: fakeEngine({ fingerprint: 'fake/2' }) });
    await expect(other.done).rejects.toMatchObject({ message: expect.stringMatching(/fake\/1.*fake\/2/) });
    await cluster.join();
    expect(await cluster.coordinator.report).toMatchObject({ exact: true, workersJoined: 2 });
  });

  it('when the run has ended, which is no failure of the worker', async () => {
    cluster = await startCluster({ steps: 1 });
    const worker = await cluster.join();
    await cluster.coordinator.report;
    expect((await worker.done).reason).toBe('the run has ended');
  });
});

describe('on a terminal', () => {
  it("a refusal's words stay in their line, and steer nothing", async () => {
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

  it("neither does a worker's name, at the coordinator or in the table of workers", async () => {
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
  // Batches of 32 in 4 slices.
  const honest = { sampleCount: 8, slices: [{ lossSum: 0, correctCount: 8 }] };

  /** A worker that answers whatever it is asked to compute with this. */
  async function answering(payload: Uint8Array, lie: object): Promise<void> {
    const socket = new WebSocket(`${cluster.coordinator.url}/worker`);
    await once(socket, 'open');
    socket.send(encodeFrame(hello));
    socket.on('message', (data: Buffer) => {
      const message = parseCoordinatorMessage(decodeFrame(data).header);
      if (message.type !== 'compute') return;
      const range = { first: 0, count: 1 };
      socket.send(encodeFrame({ type: 'gradient', step: message.step, range, phases, ...honest, ...lie }, payload));
    });
  }

  it('when it sends what it was not asked for, and the run goes on without it', async () => {
    cluster = await startCluster({ minWorkers: 2 });
    // A gradient of no bytes.
    await answering(new Uint8Array(), {});
    await cluster.join();
    const [lost] = await once(cluster.coordinator.events, 'worker-lost');
    expect(lost).toMatchObject({ name: 'by hand', reason: expect.stringMatching(/payload of 0 bytes/) });
    expect(await cluster.coordinator.report).toMatchObject({ workersLost: 1, steps: 14 });
  });

  it.each([
    ['more images', { sampleCount: 1e9 }, /a gradient over slice 0 is of 8 images, a worker says 1000000000$/],
    ['fewer images', { sampleCount: 1 }, /a gradient over slice 0 is of 8 images, a worker says 1$/],
    [
      'more right answers',
      { slices: [{ lossSum: 0, correctCount: 9 }] },
      /slice 0 has 8 images, .* that 9 were right$/,
    ],
  ])('when it claims %s than there are, and the weights stay those of an honest run', async (_, lie, reason) => {
    cluster = await startCluster({ minWorkers: 2 });
    const { trainableSize, statisticsSize } = layoutModel(cluster.coordinator.config);
    // Of the right length: only the claim is false.
    await answering(new Uint8Array(4 * (trainableSize + statisticsSize)), lie);
    await cluster.join();
    const [lost] = await once(cluster.coordinator.events, 'worker-lost');
    expect(lost).toMatchObject({ name: 'by hand', reason: expect.stringMatching(reason) });
    expect((await cluster.coordinator.report).weightsSha256).toBe(await hashWith(1));
  });
});

describe('a worker with another fingerprint', () => {
  it('may join an inexact run, and the report says so', async () => {
    cluster = await startCluster({ minWorkers: 2 });
    await cluster.join();
    const inexact = once(cluster.coordinator.events, 'inexact');
    await cluster.join({ engine: fakeEngine({ fingerprint: 'fake/2' }), name: 'pendingConnection' });
    expect((await inexact)[0]).toMatchObject({ name: 'pendingConnection', fingerprint: 'fake/2', first: 'fake/1' });
    const report = await cluster.coordinator.report;
    expect(report.exact).toBe(false);
    expect(report.engines).toEqual([
      { engine: 'fake', fingerprint: 'fake/1', workers: 1 },
      { engine: 'fake', fingerprint: 'fake/2', workers: 1 },
    ]);
  });
});

describe('a worker that finds nobody', () => {
  it('ends with status 1 behind --reconnect-timeout, and says whom it could not reach', async () => {
    cluster = await startCluster();
    const port = await freePort();
    const args = ['worker', `ws://127.0.0.1:${port}`, '--engine', 'wasm', '--no-cache', '--reconnect-timeout', '1'];
    const { status, output } = await runCli(args);
    expect(output).toMatch(
      new RegExp(
        `^lockstep: ws://127\\.0\\.0\\.1:${port} could not be reached for 1 s \\(.*\\): is the coordinator running there\\?$`,
        'm',
      ),
    );
    expect(status).toBe(1);
  });

  it('knocks until its time is up, then names the address and the reason', async () => {
    cluster = await startCluster();
    // Port 9 (discard) on loopback: nothing listens there.
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

  it('is told at once when its URL is none', async () => {
    cluster = await startCluster();
    await expect(startWorker({ url: 'http://127.0.0.1:1', engine: fakeEngine() })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('it must be ws://HOST:PORT'),
    });
  });
});
