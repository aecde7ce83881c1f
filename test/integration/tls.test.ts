// TLS between coordinator and workers: the weights equal those of a run without TLS, and both sides report why they
// refuse a connection.
import { copyFileSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkCoordinator } from '../../cli/machine/doctor/coordinator.js';
import { workerCommand } from '../../cli/train/worker-command.js';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { readClientTls, type ClientTlsFiles } from '../../shared/protocol/client-tls.js';
import type { WorkerOptions } from '../../worker/main.js';
import { Authority, type CertificateFiles } from '../support/certificates.js';
import { runCli, startCli } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
let ours: Authority;
let theirs: Authority;
let server: CertificateFiles;
let client: CertificateFiles;
let cluster: Cluster | undefined;

beforeAll(async () => {
  const folder = inFolder('certificates');
  await mkdir(folder);
  ours = await Authority.make(folder, 'ours');
  theirs = await Authority.make(folder, 'theirs');
  server = await ours.sign({ name: 'server' });
  client = await ours.sign({ name: 'client' });
});
afterEach(async () => {
  await cluster?.close();
  cluster = undefined;
});

const speaking = ({ cert, key }: CertificateFiles): Partial<CoordinatorOptions> => ({ tlsCert: cert, tlsKey: key });
const showing = ({ cert, key }: CertificateFiles): Partial<WorkerOptions> => ({ tlsCert: cert, tlsKey: key });

/** Collects the messages of the coordinator's `access` events. */
function accessMessagesOf({ coordinator }: Cluster): string[] {
  const messages: string[] = [];
  coordinator.events.on('access', ({ message }) => messages.push(message));
  return messages;
}

/**
 * Starts a worker that must be refused permanently.
 * @param count number of messages to wait for from the coordinator
 * @returns error message of the worker and messages of the coordinator
 */
async function refusal(
  options: Partial<CoordinatorOptions>,
  workerOptions: Partial<WorkerOptions>,
  count = 1,
): Promise<{ worker: string; coordinator: string[] }> {
  cluster = await startCluster(options);
  const coordinator = accessMessagesOf(cluster);
  const joined = await cluster.join(workerOptions);
  const error: unknown = await joined.done.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'refused' });
  // The coordinator may notice the end of the connection after the worker does.
  while (coordinator.length < count) await once(cluster.coordinator.events, 'access');
  return { worker: (error as Error).message, coordinator };
}

describe('a run over wss with client certificates', () => {
  it('has the weights of a run without TLS, with connections in the main thread and in their own', async () => {
    const plain = await hashWith(2);
    cluster = await startCluster({ ...speaking(server), tlsClientCa: ours.file, minWorkers: 2 });
    expect(cluster.coordinator.url).toMatch(/^wss:/);
    for (const connectionThread of [false, true]) {
      await cluster.join({ tlsCa: ours.file, ...showing(client), connectionThread });
    }
    expect((await cluster.coordinator.report).weightsSha256).toBe(plain);
  });

  it('continues with certificates that replace the first ones', async () => {
    const [cert, key] = [inFolder('current.crt'), inFolder('current.key')];
    copyFileSync(server.cert, cert);
    copyFileSync(server.key, key);
    cluster = await startCluster({ tlsCert: cert, tlsKey: key, minWorkers: 2 });
    const renewed = once(cluster.coordinator.events, 'access');
    const next = await theirs.sign({ name: 'next' });
    copyFileSync(next.key, key);
    copyFileSync(next.cert, cert);
    expect((await renewed)[0]).toMatchObject({ type: 'access', message: 'reloaded the certificates' });
    for (let count = 0; count < 2; count++) await cluster.join({ tlsCa: theirs.file });
    expect((await cluster.coordinator.report).workersJoined).toBe(2);
  });
});

describe("a coordinator's certificate", () => {
  it('that has expired is refused by the worker, and the coordinator warns of it', async () => {
    const expired = await ours.sign({ name: 'expired', days: -1 });
    const said = await refusal(speaking(expired), { tlsCa: ours.file }, 2);
    expect(said.worker).toMatch(
      /cannot join wss:.*: the coordinator's certificate has expired: renew the coordinator's `tlsCert`/,
    );
    expect(said.coordinator[0]).toMatch(/^the certificate .*expired\.crt expired on .*: workers will not trust it/);
    expect(said.coordinator[1]).toMatch(
      /^refused 127\.0\.0\.1: the connection ended without a request: .* does not trust this certificate/,
    );
  });

  it('for another host is refused with the names in it', async () => {
    const other = await ours.sign({ name: 'other', hosts: ['gpu.example.org'] });
    const said = await refusal(speaking(other), { tlsCa: ours.file });
    expect(said.worker).toMatch(
      /certificate is not for 127\.0\.0\.1 but for DNS:gpu\.example\.org: connect to a name in the certificate/,
    );
    expect(said.coordinator).toEqual([expect.stringContaining('or not for this host name')]);
  });

  it.each([
    ['the default CAs', () => ({})],
    ['another CA', () => ({ tlsCa: theirs.file })],
  ])('is refused by a worker that trusts %s only', async (_, trusting) => {
    const said = await refusal(speaking(server), trusting());
    expect(said.worker).toMatch(/signed by an unknown CA: give the CA's certificate as `tlsCa`/);
    expect(said.coordinator).toHaveLength(1);
  });
});

describe("a worker's certificate", () => {
  const requiring = () => ({ ...speaking(server), tlsClientCa: ours.file });

  it('that is missing is reported on both sides', async () => {
    const said = await refusal(requiring(), { tlsCa: ours.file });
    expect(said.worker).toMatch(/this coordinator requires a client certificate: set `tlsCert` and `tlsKey`/);
    expect(said.coordinator).toEqual([expect.stringMatching(/^refused 127\.0\.0\.1: .*requires a client certificate/)]);
  });

  it('that has expired is refused with its date', async () => {
    const expired = await ours.sign({ name: 'expired-client', days: -1 });
    const said = await refusal(requiring(), { tlsCa: ours.file, ...showing(expired) });
    expect(said.worker).toMatch(/\(CN=expired-client\) expired on .* GMT: renew `tlsCert`/);
    expect(said.coordinator).toEqual([expect.stringContaining('CN=expired-client')]);
  });

  it('of an unknown CA is refused', async () => {
    const foreign = await theirs.sign({ name: 'foreign-client' });
    const said = await refusal(requiring(), { tlsCa: ours.file, ...showing(foreign) });
    expect(said.worker).toMatch(/\(CN=foreign-client\) is signed by an unknown CA .* coordinator's `tlsClientCa`/);
    expect(said.coordinator).toEqual([expect.stringContaining('CN=foreign-client')]);
  });

  it('is required for every request except health checks', async () => {
    cluster = await startCluster(requiring());
    const status = async (at: string, shown?: CertificateFiles) => {
      const answer = request(`${cluster!.coordinator.url.replace('wss', 'https')}${at}`, {
        ca: readFileSync(ours.file),
        ...(shown === undefined ? {} : { cert: readFileSync(shown.cert), key: readFileSync(shown.key) }),
      }).end();
      const [response] = (await once(answer, 'response')) as [IncomingMessage];
      response.resume();
      return response.statusCode;
    };
    expect(await status('/healthz')).toBe(200);
    // Request twice: in a new TLS session and in a resumed one, which Node.js reports as authorized.
    expect(await status('/status')).toBe(403);
    expect(await status('/status')).toBe(403);
    expect(await status('/status', client)).toBe(200);
  });
});

describe('TLS on one side only', () => {
  it('is reported by a worker without TLS', async () => {
    cluster = await startCluster(speaking(server));
    const worker = await cluster.join({ url: cluster.coordinator.url.replace('wss', 'ws') });
    const [{ reason }] = await once(worker.events, 'reconnecting');
    expect(reason).toMatch(/^the server closed the connection; if it uses TLS, connect to wss:/);
  });

  it('is reported by a worker with TLS', async () => {
    cluster = await startCluster();
    const worker = await cluster.join({ url: cluster.coordinator.url.replace('ws', 'wss') });
    await expect(worker.done).rejects.toMatchObject({
      message: expect.stringMatching(/does not use TLS: connect to ws:/),
    });
  });

  it('does not disturb the coordinator, nor do other bytes', async () => {
    cluster = await startCluster(speaking(server));
    const socket = connect(cluster.coordinator.port, '127.0.0.1');
    socket.write('hello?\n'.repeat(100));
    await once(socket.resume(), 'close');
    await cluster.join({ tlsCa: ours.file });
    expect((await cluster.coordinator.report).workersJoined).toBe(1);
  });
});

describe('the command line', () => {
  it('names a bad TLS file, with exit status 2', async () => {
    await writeFile(inFolder('empty.pem'), 'nothing\n');
    const worker = async (...options: string[]) => {
      const process_ = startCli(['worker', 'wss://127.0.0.1:9', '--engine', 'wasm', '--quiet', ...options]);
      return { status: await process_.exited, output: process_.output() };
    };
    expect(await worker('--tls-ca', inFolder('missing.pem'))).toEqual({
      status: 2,
      output: `lockstep: --tls-ca is ${inFolder('missing.pem')}: it cannot be read (ENOENT)\n`,
    });
    expect((await worker('--tls-ca', inFolder('empty.pem'))).output).toMatch(/empty\.pem: it contains no certificate/);
    expect((await worker('--tls-cert', client.cert)).output).toMatch(/--tls-cert is given without --tls-key/);
    expect((await worker('--tls-cert', client.cert, '--tls-key', server.key)).output).toMatch(
      /it is not the key of --tls-cert/,
    );
  });

  it('shows the status of a run over TLS, or the option that is missing', async () => {
    cluster = await startCluster({ ...speaking(server), tlsClientCa: ours.file });
    const url = cluster.coordinator.url.replace('wss', 'https');
    const ask = (...options: string[]) => runCli(['status', url, ...options]);
    const shown = ['--tls-cert', client.cert, '--tls-key', client.key];
    const [trusting, strange, uncertified, plain] = await Promise.all([
      ask('--tls-ca', ours.file, ...shown),
      ask(...shown),
      ask('--tls-ca', ours.file),
      runCli(['status', url.replace('https', 'http'), '--tls-ca', ours.file]),
    ]);
    expect(trusting.output).toMatch(/^waiting · /);
    expect(trusting.status).toBe(0);
    expect(strange.output).toMatch(
      /cannot connect to .*: the coordinator's certificate is signed by an unknown CA: give the CA's certificate as --tls-ca/,
    );
    expect(strange.status).toBe(1);
    expect(uncertified.output).toMatch(
      /this coordinator requires a client certificate: set --tls-cert and --tls-key$/m,
    );
    expect(uncertified.status).toBe(1);
    expect(plain.output).toMatch(/which is not encrypted, but --tls-ca or --tls-cert is given: use wss:/);
    expect(plain.status).toBe(2);
  });

  it("checks a coordinator with a worker's TLS files", async () => {
    cluster = await startCluster({ ...speaking(server), tlsClientCa: ours.file });
    const look = async (files: ClientTlsFiles) => {
      const checks = await checkCoordinator(cluster!.coordinator.url, { tls: readClientTls(files) });
      return Object.fromEntries(checks.map(({ about, mark, says }) => [about, `${mark} ${says}`]));
    };
    const shown = { tlsCert: client.cert, tlsKey: client.key };
    const sound = await look({ tlsCa: ours.file, ...shown });
    expect(sound).toMatchObject({ connection: expect.stringMatching(/^ok wss:/), WebSockets: 'ok can be opened' });
    expect(Object.values(sound).filter((said) => !said.startsWith('ok'))).toEqual([]);
    expect((await look(shown))['connection']).toMatch(
      /^problem the coordinator's certificate is signed by an unknown CA/,
    );
    const uncertified = await look({ tlsCa: ours.file });
    expect(uncertified['WebSockets']).toMatch(/^problem are refused: this coordinator requires a client certificate/);
    expect(uncertified['token']).toMatch(/^problem not checked: this coordinator requires a client certificate/);
  });

  it('joins a run with TLS files', async () => {
    cluster = await startCluster({ ...speaking(server), tlsClientCa: ours.file });
    // The cluster uses a fake engine, so this wasm worker's fingerprint differs. That is fine: the test only checks
    // that it joins.
    const files = ['--tls-ca', ours.file, '--tls-cert', client.cert, '--tls-key', client.key];
    const worker = startCli(['worker', cluster.coordinator.url, '--engine', 'wasm', '--no-cache', ...files]);
    await worker.says('joined as worker 1');
    worker.child.kill('SIGINT');
    expect(await worker.exited).toBe(130);
  });
});

it('the printed worker command includes all options that workers need', () => {
  const here = { url: 'wss://127.0.0.1:7350', host: '127.0.0.1', port: 7350 };
  expect(workerCommand({ ...here, url: 'ws://127.0.0.1:7350' }, {})).toBe('lockstep worker ws://127.0.0.1:7350');
  expect(workerCommand(here, { tlsCert: 'a.crt' })).toBe('lockstep worker wss://127.0.0.1:7350 --tls-ca <FILE>');
  const all = workerCommand({ ...here, host: '0.0.0.0' }, { token: 'x', tlsCert: 'a.crt', tlsClientCa: 'a.pem' });
  expect(all).toBe(
    "LOCKSTEP_TOKEN=<token> lockstep worker wss://<this machine's address>:7350 --tls-ca <FILE> --tls-cert <FILE> --tls-key <FILE>",
  );
});
