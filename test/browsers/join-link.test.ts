// Workers that join with a join link: how many may be connected, what operators and visitors see of the link, and that a
// restart changes nothing. The token must appear nowhere but in the printed link and on an operator's dashboard.
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import path from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startCoordinator, type CoordinatorOptions } from '../../coordinator/main.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import type { Worker } from '../../worker/main.js';
import { browserNames, openBrowserOrReason, type Tab } from '../support/browsers.js';
import { runCli, startCli, type CliProcess } from '../support/cli.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { freePort } from '../support/free-port.js';
import { smallRun, startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();

/** The fake engine under the name of the engine that a run with a join link uses. */
const engine = { ...fakeEngine(), identity: { engine: 'wasm', fingerprint: 'wasm/fake', device: 'a fake device' } };

/** Starts a coordinator with a join link, whose run waits for more workers than join. */
async function openLink(options: CoordinatorOptions = {}) {
  const cluster = await startCluster({ joinLink: true, minWorkers: 9, ...options });
  onTestFinished(() => cluster.close());
  const { coordinator } = cluster;
  const link = coordinator.joinLink()!;
  const { hash, origin } = new URL(link.url);
  const token = hash.slice(1);
  const [, id] = token.split('-');
  return {
    coordinator,
    link,
    token,
    about: async (of = id) => (await fetch(`${origin}/join/about?link=${of}`)).json() as Promise<object>,
    join: (options_: { token?: string; name?: string } = {}) => cluster.join({ engine, token, ...options_ }),
    /** Sends an operator's request. */
    control: async (action: string, headers: Record<string, string> = {}) => {
      const response = await fetch(`${origin}/control`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ action }),
      });
      return { status: response.status, body: await response.json() };
    },
    get: (where: string, headers: Record<string, string> = {}) => fetch(`${origin}${where}`, { headers }),
  };
}

const joined = async (worker: Worker) => once(worker.events, 'joined');

describe('a join link', () => {
  it('tells a visitor what is trained, and for whom', async () => {
    const { about, link } = await openLink({ joinLink: { organizer: 'the physics lab', maxWorkers: 2 } });
    expect(await about()).toEqual({
      problem: null,
      network: 'resnet8',
      dataset: 'synthetic',
      // smallRun: 400 images, of which a tenth is for validation.
      imageCount: 360,
      classCount: 10,
      totalSteps: 14,
      step: 0,
      organizer: 'the physics lab',
      expires: link.expires,
      bytesPerStep: expect.any(Number) as number,
      engine: 'wasm',
    });
    expect(await about('0000000000000000')).toEqual({ problem: 'unknown' });
  });

  it('is valid for a week and 64 workers by default', async () => {
    const { link } = await openLink();
    expect(link).toMatchObject({ maxWorkers: 64, workers: 0 });
    const days = (Date.parse(link.expires) - Date.now()) / (24 * 3_600_000);
    expect(days).toBeGreaterThan(6.99);
    expect(days).toBeLessThan(7.01);
  });

  it('admits as many workers at a time as it allows; the next one joins when one leaves', async () => {
    const { coordinator, join, about } = await openLink({ joinLink: { maxWorkers: 2 } });
    const workers = [await join(), await join()];
    await Promise.all(workers.map(joined));
    expect(coordinator.joinLink()).toMatchObject({ workers: 2, maxWorkers: 2 });
    expect(await about()).toMatchObject({ problem: 'full', network: 'resnet8' });
    const third = await join();
    const [{ reason }] = (await once(third.events, 'reconnecting')) as [{ reason: string }];
    expect(reason).toContain('as many workers are connected by the join link as it allows (2)');
    // The link's limit does not concern others: this port needs no token.
    await joined(await join({ token: '' }));
    workers[0].stop('enough');
    await joined(third);
    expect(coordinator.joinLink()).toMatchObject({ workers: 2 });
  });

  it('that is not valid is refused even though the port needs no token', async () => {
    const { join, token } = await openLink();
    const forged = await join({ token: token.replace('-64-', '-99-') });
    await expect(forged.done).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('(token): this coordinator does not know the join link'),
    });
  });

  it('is the same after a restart of the coordinator, for an ended run too', async () => {
    const { coordinator, link, token } = await openLink({ runDir: inFolder('restarted') });
    coordinator.stop();
    await coordinator.report.catch(() => undefined);
    const again = await openLink({ runDir: inFolder('restarted'), resume: 'auto', joinLink: { maxWorkers: 5 } });
    const { host } = new URL(link.url);
    expect(again.link.url.replace(new URL(again.link.url).host, host)).toBe(link.url);
    await joined(await again.join({ token }));
  });

  it('exists only if the options ask for it', async () => {
    const cluster = await startCluster();
    onTestFinished(() => cluster.close());
    const { dashboardUrl } = cluster.coordinator;
    expect(cluster.coordinator.joinLink()).toBeNull();
    for (const where of ['/join', '/join/about']) expect((await fetch(`${dashboardUrl}${where}`)).status).toBe(404);
    expect(await (await fetch(`${dashboardUrl}/join-link`)).json()).toBeNull();
  });

  it('exists without a dashboard', async () => {
    const { about, get } = await openLink({ dashboard: false });
    expect(await about()).toMatchObject({ problem: null });
    expect((await get('/join-link')).status).toBe(404);
  });

  it.each([{ maxWorkers: 0 }, { maxWorkers: 1.5 }, { maxWorkers: 1e9 }, { expiresMs: 0 }, { expiresMs: Infinity }])(
    'with %j is an error that names the option',
    async (joinLink) => {
      const [key] = Object.keys(joinLink);
      await expect(startCoordinator({ ...smallRun, port: 0, joinLink, runDir: inFolder('bad') })).rejects.toMatchObject(
        {
          code: 'bad-option',
          message: expect.stringContaining(`\`joinLink.${key}\` is `),
        },
      );
    },
  );
});

describe('an operator', () => {
  it('revokes the link, which disconnects its workers for good, and creates another one', async () => {
    const { coordinator, join, control, about, token } = await openLink();
    const [visitor, own] = [await join(), await join({ token: '' })];
    await Promise.all([visitor, own].map(joined));
    expect(await control('create-link')).toEqual({
      status: 409,
      body: { error: 'there is a join link already: revoke it first' },
    });
    expect((await control('revoke-link')).status).toBe(200);
    expect((await visitor.done).reason).toBe('the join link was revoked by a user of this machine');
    expect(coordinator.status().workers.map(({ name }) => name)).toEqual([own.name]);
    expect(coordinator.joinLink()).toBeNull();
    expect(await about()).toEqual({ problem: 'revoked' });
    const refused = { message: expect.stringContaining('(token): the join link has been revoked') as string };
    await expect((await join()).done).rejects.toMatchObject(refused);
    expect((await control('revoke-link')).status).toBe(409);
    expect((await control('create-link')).status).toBe(200);
    await expect((await join()).done).rejects.toMatchObject(refused);
    const next = new URL(coordinator.joinLink()!.url).hash.slice(1);
    expect(next).not.toBe(token);
    await joined(await join({ token: next }));
  });

  it('sees the link, and others do not', async () => {
    const tokens = inFolder('tokens');
    const [viewer, operator] = ['5b9d1c7e3f024a86aa55', '0f5e6d7c8b9a41526374'];
    await writeFile(tokens, `wall viewer ${viewer}\nanna operator ${operator}\n`);
    const { get, control, coordinator } = await openLink({ tokenFile: tokens });
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const seen = await (await get('/join-link', bearer(operator))).json();
    expect(seen).toEqual(coordinator.joinLink());
    expect(seen).toMatchObject({ svg: expect.stringMatching(/^data:image\/svg\+xml,/) as string, workers: 0 });
    expect((await get('/join-link', bearer(viewer))).status).toBe(403);
    expect((await get('/join-link')).status).toBe(401);
    expect((await control('revoke-link', bearer(viewer))).status).toBe(403);
    expect((await control('revoke-link', bearer(operator))).status).toBe(200);
    expect(await (await get('/join-link', bearer(operator))).json()).toBeNull();
  });

  it('cannot create a link if the run was started without', async () => {
    const cluster = await startCluster();
    onTestFinished(() => cluster.close());
    const response = await fetch(`${cluster.coordinator.dashboardUrl}/control`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ action: 'create-link' }),
    });
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ error: expect.stringContaining('without --join-link') as string });
  });
});

describe('a run with a join link', () => {
  it('uses the wasm engine if the engine is auto, and otherwise the named one', async () => {
    const { coordinator } = await openLink();
    expect(coordinator.config.engine).toBe('wasm');
    const named = await openLink({ engine: 'wasm-fma' });
    expect(named.coordinator.config.engine).toBe('wasm-fma');
    expect(await named.about()).toMatchObject({ engine: 'wasm-fma' });
    await expect((await named.join()).done).rejects.toMatchObject({
      message: expect.stringContaining('this run needs the wasm-fma engine, which browsers do not have'),
    });
  });
});

/** A proxy that records the request lines and headers of everything that it passes on to a port of this machine. */
async function recordingProxy(target: number): Promise<{ port: number; requests: string[] }> {
  const requests: string[] = [];
  const record = ({ method, url, rawHeaders }: IncomingMessage) =>
    requests.push([method, url, ...rawHeaders].join('\n'));
  const proxy = createServer((incoming, outgoing) => {
    record(incoming);
    const { method, url: path_, headers } = incoming;
    const passedOn = request({ host: '127.0.0.1', port: target, method, path: path_, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    passedOn.on('error', () => outgoing.destroy());
    incoming.pipe(passedOn);
  });
  proxy.on('upgrade', (incoming: IncomingMessage, socket, head: Buffer) => {
    record(incoming);
    const { method, url, rawHeaders } = incoming;
    const lines = rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${rawHeaders[index + 1]}`] : []));
    const passedOn = connect(target, '127.0.0.1');
    passedOn.write(`${[`${method} ${url} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`);
    passedOn.write(head);
    passedOn.pipe(socket).pipe(passedOn);
    for (const stream of [passedOn, socket]) stream.on('error', () => stream.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  onTestFinished(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { port: (proxy.address() as AddressInfo).port, requests };
}

/** Returns the content of all files in a folder, except the one that stores the link, as one string. */
async function textIn(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name !== 'join-link.json');
  const texts = files.map((file) => readFile(path.join(file.parentPath, file.name), 'latin1'));
  return (await Promise.all(texts)).join('\n');
}

describe('the command line', () => {
  const recipe = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', '4'];

  beforeAll(() => writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 100, testImages: 50 })));

  it.for(['a Node worker', ...browserNames] as const)(
    'prints the link once. When %s has joined with it, neither logs, status, metrics and files nor any request contain its token',
    async (kind, context) => {
      const browser =
        kind === 'a Node worker' ? undefined : await openBrowserOrReason(kind, 'the token of a join link');
      if (typeof browser === 'string') {
        context.skip(browser);
        return;
      }
      onTestFinished(() => browser?.close());
      const [port, runDirectory] = [await freePort(), inFolder(`secret from ${kind}`)];
      const { port: publicPort, requests } = await recordingProxy(port);
      const publicUrl = `http://127.0.0.1:${publicPort}/train`;
      const owner = '5b9d1c7e3f024a86aa55';
      const place = ['--data', inFolder('images'), '--run-dir', runDirectory, '--port', String(port)];
      const browsers = ['--join-link', '--public-url', publicUrl];
      const args = ['coordinator', ...recipe, ...place, ...browsers, '--min-workers', '2'];
      const coordinator = startCli(args, { LOCKSTEP_TOKEN: owner });
      await coordinator.says('waiting for workers');
      const [link] = /https?:\/\/[^ \n]*\/join[^ \n]*/.exec(coordinator.output())!;
      const token = link.slice(`${publicUrl}/join#`.length);
      expect(link).toMatch(/\/join#join-[0-9a-f]{16}-\d+-64-[\w-]{43}$/);
      expect(coordinator.output()).toContain('engine: wasm, because browsers have no other');
      expect(coordinator.output()).toContain('▄▄▄▄▄');
      const join = (environment: NodeJS.ProcessEnv) =>
        startCli(['worker', publicUrl.replace('http', 'ws'), '--engine', 'wasm', '--no-cache'], environment);
      let first: CliProcess | undefined;
      let tab: Tab | undefined;
      if (browser === undefined) {
        first = join({ LOCKSTEP_TOKEN: token });
      } else {
        tab = await browser.openTab();
        await tab.goto(link);
        await tab.click('button.start');
      }
      await coordinator.says(' joined ');
      const forged = join({ LOCKSTEP_TOKEN: `${token.slice(0, -4)}AAAA` });
      expect(await forged.exited).toBe(1);
      const [, id] = token.split('-');
      const authorization = `Bearer ${owner}`;
      const pages = ['/status', '/metrics', '/', '/session', '/join', `/join/about?link=${id}`, '/healthz', '/readyz'];
      const answers = await Promise.all(
        pages.map(async (page) => {
          const response = await fetch(`${publicUrl}${page}`, { headers: { authorization } });
          return `${JSON.stringify([...response.headers])}\n${await response.text()}`;
        }),
      );
      const onDashboard = await fetch(`${publicUrl}/join-link`, { headers: { authorization } });
      expect(await onDashboard.json()).toMatchObject({ url: link, workers: 1 });
      const second = join({ LOCKSTEP_TOKEN: owner });
      const processes = [coordinator, second, ...(first === undefined ? [] : [first])];
      for (const { exited } of processes) expect(await exited).toBe(0);
      expect(tab?.problems ?? []).toEqual([]);
      const logs = [...processes, forged].map((process_) => process_.output()).join('\n');
      expect(logs.split(token)).toHaveLength(2);
      const written = [logs.replace(link, ''), await textIn(runDirectory), ...answers, ...requests].join('\n');
      expect(written).toContain('"weightsSha256"');
      expect(written).toContain('lockstep_step_duration_seconds');
      expect(requests.filter((each) => each.includes('/worker'))).toHaveLength(3);
      // The signature is what makes a token: without it, the rest is of no use.
      for (const secret of [token, token.slice(-43)]) expect(written).not.toContain(secret);
      expect(requests.filter((each) => /^referer$/im.test(each))).toEqual([]);
    },
  );

  it('prints the same link after a restart, only an event with --json, and nothing with --quiet', async () => {
    const place = ['--run-dir', inFolder('printed'), '--port', '0', '--join-link'];
    const linkOf = async (...more: string[]) => {
      const coordinator = startCli(['coordinator', ...recipe, ...place, '--data', inFolder('images'), ...more]);
      await coordinator.says(/"waiting"|waiting for workers/);
      coordinator.child.kill('SIGKILL');
      await coordinator.exited;
      return /\/join#\S+?(?=["\s])/.exec(coordinator.output())?.[0];
    };
    const printed = await linkOf();
    expect(printed).toMatch(/^\/join#join-/);
    expect(await linkOf()).toBe(printed);
    expect(await linkOf('--json')).toBe(printed);
    const quiet = ['coordinator', ...recipe, ...place, '--data', inFolder('images'), '--quiet', '--wait-timeout', '1'];
    expect(await runCli(quiet)).toEqual({ status: 3, output: expect.not.stringContaining('join') as string });
  });

  it.each([
    [['--join-expires', '3'], '--join-expires is given without --join-link'],
    [['--join-link', '--join-workers', '0'], '--join-workers is "0": it must be a whole number from 1'],
    [['--public-url', 'lab.example.org'], '--public-url is lab.example.org: it must be an http:// or https:// address'],
    [
      ['--public-url', 'https://lab.example.org'],
      '--public-url is https://lab.example.org/, which other machines can reach',
    ],
    [['--allow-origin', 'https://a.example/page'], '--allow-origin contains https://a.example/page: '],
  ])('with %j says what is wrong', async (options, message) => {
    for (const command of ['train', 'coordinator']) {
      const { status, output } = await runCli([command, ...recipe, ...options, '--run-dir', inFolder('wrong')]);
      expect(status).toBe(2);
      expect(output).toContain(message);
    }
  });
});
