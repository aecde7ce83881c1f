// Operator requests over HTTP: who may send them and what they do. They must not change the weights.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { applyDifference } from '../../shared/monitoring/difference.js';
import type { LiveState, WatchMessage } from '../../shared/monitoring/messages.js';
import { writeFile, mkdir } from 'node:fs/promises';
import { openRecordedDashboard } from '../../coordinator/monitoring/dashboard/recorded-dashboard.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { fakeEngine } from '../support/fake-engine.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const tokens = {
  worker: 'c2d5a1f09b7e4d38a1b2',
  viewer: '5b9d1c7e3f024a86aa55',
  operator: '0f5e6d7c8b9a41526374',
} as const;
let undisturbed: string;

beforeAll(async () => {
  undisturbed = await hashWith(1);
});

interface Answer {
  status: number;
  body: Record<string, unknown>;
  cookie: string | null;
}

async function post(url: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const cookie = response.headers.get('set-cookie');
  return { status: response.status, body: (await response.json()) as Record<string, unknown>, cookie };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/**
 * Resolves with the first message that matches.
 * @param matches also receives the live state after the message; undefined if no state has arrived yet
 */
function nextMessage(
  socket: WebSocket,
  matches: (message: WatchMessage, live: LiveState | null | undefined) => boolean,
): Promise<WatchMessage> {
  let live: LiveState | null | undefined;
  return new Promise((resolve, reject) => {
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as WatchMessage;
      if (message.type === 'history') live = message.live;
      if (message.type === 'update' && message.live !== null) {
        live = applyDifference(live, message.live) as LiveState | null;
      }
      if (matches(message, live)) resolve(message);
    });
    socket.on('close', () => reject(new Error('the socket closed without a matching message')));
  });
}

/** Returns an engine that blocks a run after the third step until `release` is called. */
function blockingEngine({ coordinator }: Cluster) {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isHeld = false;
  const held = new Promise<void>((resolve) => {
    coordinator.events.on('step', ({ step }) => {
      if (step !== 3) return;
      isHeld = true;
      resolve();
    });
  });
  return { engine: fakeEngine({ beforeSlice: () => (isHeld ? released : undefined) }), held, release };
}

const phaseIs = (phase: string) => (message: WatchMessage, live: LiveState | null | undefined) =>
  message.type === 'update' && live?.status.run.phase === phase;

describe('an operator of a run', () => {
  it('pauses, saves, disconnects a worker and continues, and the weights are those of an undisturbed run', async () => {
    const cluster = await startCluster({ minWorkers: 2 });
    onTestFinished(() => cluster.close());
    const { coordinator } = cluster;
    const control = (body: object) => post(`${coordinator.dashboardUrl}/control`, body);
    const { engine, held, release } = blockingEngine(cluster);
    const watching = new WebSocket(`${coordinator.url}/watch`);
    const paused = nextMessage(watching, phaseIs('paused'));
    await once(watching, 'open');
    expect(await control({ action: 'continue' })).toMatchObject({
      status: 409,
      body: { error: 'the run is not paused' },
    });
    const first = await cluster.join({ name: 'w1', engine });
    await cluster.join({ name: 'w2', engine });
    await held;
    expect(await control({ action: 'pause' })).toMatchObject({ status: 200, body: { done: 'pause' } });
    release();
    await paused;
    const saved = once(coordinator.events, 'checkpoint');
    expect((await control({ action: 'checkpoint' })).status).toBe(200);
    await saved;
    const { step } = coordinator.status().run;
    expect(step).toBe(4);
    const lost = once(coordinator.events, 'worker-lost');
    const [{ id }] = coordinator.status().workers;
    expect((await control({ action: 'drop', worker: id })).status).toBe(200);
    expect((await lost)[0]).toMatchObject({ name: 'w1', reason: 'dropped by a user of this machine' });
    // The dropped worker received a goodbye, so it does not reconnect.
    await first.done;
    expect((await control({ action: 'drop', worker: id })).status).toBe(409);
    // Workers can join a paused run.
    await cluster.join({ name: 'w3' });
    expect(coordinator.status().run).toMatchObject({ phase: 'paused', step });
    expect((await control({ action: 'continue' })).status).toBe(200);
    expect(await coordinator.report).toMatchObject({ weightsSha256: undisturbed, workersJoined: 3, workersLost: 1 });
    const metrics = await readFile(path.join(coordinator.runDirectory, 'metrics.jsonl'), 'utf8');
    const events = [...metrics.matchAll(/"event":"([^"]+)"/g)].map(([, event]) => event);
    expect(events).toEqual(
      expect.arrayContaining([
        'paused',
        'checkpoint-requested',
        'checkpoint',
        'worker-dropped',
        'worker-lost',
        'continued',
      ]),
    );
  });

  it('stops a paused run, which can be resumed to the same weights', async () => {
    const cluster = await startCluster({ minWorkers: 1 });
    onTestFinished(() => cluster.close());
    const { coordinator } = cluster;
    const control = (action: string) => post(`${coordinator.dashboardUrl}/control`, { action });
    const { engine, held, release } = blockingEngine(cluster);
    const watching = new WebSocket(`${coordinator.url}/watch`);
    const [paused, ended] = [
      nextMessage(watching, phaseIs('paused')),
      nextMessage(watching, ({ type }) => type === 'ended'),
    ];
    await once(watching, 'open');
    await cluster.join({ engine });
    await held;
    await control('pause');
    release();
    await paused;
    await control('stop');
    await expect(coordinator.report).rejects.toMatchObject({
      code: 'interrupted',
      message: 'stopped by a user of this machine',
    });
    expect(await ended).toMatchObject({ ending: { how: 'interrupted', message: 'stopped by a user of this machine' } });
    const resumed = await startCluster({ resume: true, runDir: coordinator.runDirectory });
    await resumed.join();
    expect((await resumed.coordinator.report).weightsSha256).toBe(undisturbed);
    await resumed.close();
  });
});

describe('a client', () => {
  async function withTokens(): Promise<Cluster> {
    const tokenFile = inFolder('tokens');
    const lines = Object.entries(tokens).map(([role, token]) => `${role}s-own ${role} ${token}`);
    await writeFile(tokenFile, `${lines.join('\n')}\n`);
    const cluster = await startCluster({ tokenFile });
    onTestFinished(() => cluster.close());
    return cluster;
  }

  it.each([
    ['no token', {}, 401],
    ['an unknown token', bearer('00000000000000000000'), 401],
    ["a viewer's token", bearer(tokens.viewer), 403],
    ["a worker's token", bearer(tokens.worker), 403],
    ["an operator's token", bearer(tokens.operator), 200],
    ["an operator's token on another site's page", { ...bearer(tokens.operator), origin: 'https://evil.example' }, 403],
    ["an operator's token in a form", { ...bearer(tokens.operator), 'content-type': 'text/plain' }, 415],
  ])('with %s may control the run or not', async (_, headers, status) => {
    const { coordinator } = await withTokens();
    const answer = await post(`${coordinator.dashboardUrl}/control`, { action: 'checkpoint' }, headers);
    expect(answer.status).toBe(status);
  });

  it('can log in as a viewer to read and as an operator to pause, but not as a worker', async () => {
    const { coordinator } = await withTokens();
    const at = (page: string) => `${coordinator.dashboardUrl}/${page}`;
    expect(await post(at('login'), { token: 'an-unknown-token-000' })).toMatchObject({ status: 401, cookie: null });
    expect(await post(at('login'), { token: tokens.worker })).toMatchObject({ status: 403, cookie: null });
    const viewer = await post(at('login'), { token: tokens.viewer });
    expect(viewer).toMatchObject({ status: 200, body: { name: 'viewers-own', role: 'viewer' } });
    const asViewer = { cookie: viewer.cookie!.split(';')[0] };
    const session = await fetch(at('session'), { headers: asViewer });
    expect(await session.json()).toMatchObject({ mayRead: true, mayOperate: false, holder: { role: 'viewer' } });
    expect((await post(at('control'), { action: 'pause' }, asViewer)).status).toBe(403);
    const operator = await post(at('login'), { token: tokens.operator });
    const asOperator = { cookie: operator.cookie!.split(';')[0] };
    const paused = once(coordinator.events, 'operated');
    expect((await post(at('control'), { action: 'pause' }, asOperator)).status).toBe(200);
    expect((await paused)[0]).toMatchObject({ action: 'pause', detail: 'by operators-own' });
    expect((await post(at('logout'), {})).cookie).toMatch(/Max-Age=0/);
  });

  it('gets an error for invalid requests', async () => {
    const { coordinator } = await withTokens();
    const asOperator = bearer(tokens.operator);
    const control = (body: object) => post(`${coordinator.dashboardUrl}/control`, body, asOperator);
    expect(await control({ action: 'explode' })).toMatchObject({ status: 400 });
    expect(await control({ action: 'drop' })).toMatchObject({
      status: 400,
      body: { error: expect.stringContaining('worker') },
    });
    expect(await control({ action: 'pause', why: 'x'.repeat(10_000) }).catch(() => 'cut off')).toBe('cut off');
  });
});

describe('the port of a run', () => {
  it('serves the files of the dashboard with an ETag', async () => {
    const cluster = await startCluster();
    onTestFinished(() => cluster.close());
    const url = cluster.coordinator.dashboardUrl!;
    for (const [file, type] of [
      ['', 'text/html'],
      ['dashboard.js', 'text/javascript'],
      ['dashboard.css', 'text/css'],
      ['icon.svg', 'image/svg'],
    ]) {
      const response = await fetch(`${url}/${file}`);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toContain(type);
      const etag = response.headers.get('etag')!;
      expect((await fetch(`${url}/${file}`, { headers: { 'if-none-match': etag } })).status).toBe(304);
    }
    const page = await fetch(url);
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self';/);
    expect(await page.text()).not.toMatch(/<script>|<style|style=| on\w+=/);
  });

  it('serves no pages and no operator requests without a dashboard', async () => {
    const cluster = await startCluster({ dashboard: false });
    onTestFinished(() => cluster.close());
    const { url, dashboardUrl } = cluster.coordinator;
    expect(dashboardUrl).toBeUndefined();
    const http = url.replace('ws', 'http');
    expect((await fetch(http)).status).toBe(404);
    expect((await post(`${http}/control`, { action: 'pause' })).status).toBe(405);
  });
});

describe('the dashboard of a finished run', () => {
  it('shows the run as recorded in its directory', async () => {
    const cluster = await startCluster();
    onTestFinished(() => cluster.close());
    await cluster.join({ name: 'w1' });
    const { weightsSha256 } = await cluster.coordinator.report;
    const dashboard = await openRecordedDashboard(cluster.coordinator.runDirectory, 0);
    onTestFinished(() => dashboard.close());
    const watching = new WebSocket(`${dashboard.url.replace('http', 'ws')}/watch`);
    const messages: WatchMessage[] = [];
    watching.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString()) as WatchMessage));
    await once(watching, 'close');
    expect(messages).toMatchObject([
      { type: 'run', isRecorded: true, facts: { totalSteps: 14, stepsPerEpoch: 11, model: 'resnet8' } },
      { type: 'history', live: null, steps: { step: Array.from({ length: 14 }, (_, index) => index + 1) } },
      { type: 'ended', ending: { how: 'finished', report: { weightsSha256, workers: [{ name: 'w1' }] } } },
    ]);
    expect((await post(`${dashboard.url}/control`, { action: 'stop' })).status).toBe(409);
  });

  it('is refused for a folder or file that is not a run directory', async () => {
    await mkdir(inFolder('empty'));
    await expect(openRecordedDashboard(inFolder('empty'), 0)).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('no config.json'),
    });
    await writeFile(inFolder('file'), '');
    await expect(openRecordedDashboard(inFolder('file'), 0)).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('(it is a file)'),
    });
  });
});
