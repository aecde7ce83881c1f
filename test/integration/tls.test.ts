// TLS between coordinator and workers: the bits of a plain run, and refusals that say on both sides what is wrong.
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

/** What the coordinator says of its door. */
function doorOf({ coordinator }: Cluster): string[] {
  const said: string[] = [];
  coordinator.events.on('access', ({ message }) => said.push(message));
  return said;
}

/**
 * Lets a worker knock that must be refused for good.
 * @param lines how many the coordinator says of it
 * @returns its words, and the coordinator's
 */
async function refusal(
  coordinator: Partial<CoordinatorOptions>,
  worker: Partial<WorkerOptions>,
  lines = 1,
): Promise<{ worker: string; door: string[] }> {
  cluster = await startCluster(coordinator);
  const door = doorOf(cluster);
  const joined = await cluster.join(worker);
  const error: unknown = await joined.done.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'refused' });
  // It may hear of the end after the worker does.
  while (door.length < lines) await once(cluster.coordinator.events, 'access');
  return { worker: (error as Error).message, door };
}

describe('a run over wss with client certificates', () => {
  it('has the bits of a plain one, its connections in this thread and in their own', async () => {
    const plain = await hashWith(2);
    cluster = await startCluster({ ...speaking(server), tlsClientCa: ours.file, minWorkers: 2 });
    expect(cluster.coordinator.url).toMatch(/^wss:/);
    for (const connectionThread of [false, true]) {
      await cluster.join({ tlsCa: ours.file, ...showing(client), connectionThread });
    }
    expect((await cluster.coordinator.report).weightsSha256).toBe(plain);
  });

  it('goes on with certificates that replace the first ones', async () => {
    const [cert, key] = [inFolder('current.crt'), inFolder('current.key')];
    copyFileSync(server.cert, cert);
    copyFileSync(server.key, key);
    cluster = await startCluster({ tlsCert: cert, tlsKey: key, minWorkers: 2 });
    const renewed = once(cluster.coordinator.events, 'access');
    const next = await theirs.sign({ name: 'next' });
    copyFileSync(next.key, key);
    copyFileSync(next.cert, cert);
    await expect(renewed).resolves.toEqual([{ message: 'the certificates were read again' }]);
    for (let count = 0; count < 2; count++) await cluster.join({ tlsCa: theirs.file });
    expect((await cluster.coordinator.report).workersJoined).toBe(2);
  });
});

describe("a coordinator's certificate", () => {
  it('that has expired is refused by the worker, and the coordinator warns of it', async () => {
    const expired = await ours.sign({ name: 'expired', days: -1 });
    const said = await refusal(speaking(expired), { tlsCa: ours.file }, 2);
    expect(said.worker).toMatch(/wss:.* cannot be joined: the coordinator's certificate has expired: renew it there/);
    expect(said.door[0]).toMatch(/^the certificate .*expired\.crt has expired on .*: no worker will trust it/);
    expect(said.door[1]).toMatch(
      /^127\.0\.0\.1 was refused: it began to speak and went away .* does not trust this certificate/,
    );
  });

  it('for another host is refused with the names that it holds', async () => {
    const other = await ours.sign({ name: 'other', hosts: ['gpu.example.org'] });
    const said = await refusal(speaking(other), { tlsCa: ours.file });
    expect(said.worker).toMatch(
      /certificate is not for 127\.0\.0\.1 but for DNS:gpu\.example\.org: use a name that it holds/,
    );
    expect(said.door).toEqual([expect.stringContaining('or not under the name that it used')]);
  });

  it.each([
    ['no authority of its own', () => ({})],
    ['another authority', () => ({ tlsCa: theirs.file })],
  ])('is refused by a worker that trusts %s', async (_, trusting) => {
    const said = await refusal(speaking(server), trusting());
    expect(said.worker).toMatch(/of an authority that is not known here: give it with --tls-ca/);
    expect(said.door).toHaveLength(1);
  });
});

describe("a worker's certificate", () => {
  const asking = () => ({ ...speaking(server), tlsClientCa: ours.file });

  it('that is missing is asked for, on both sides', async () => {
    const said = await refusal(asking(), { tlsCa: ours.file });
    expect(said.worker).toMatch(/asks for a certificate and none was shown: give one with --tls-cert and --tls-key/);
    expect(said.door).toEqual([expect.stringMatching(/^127\.0\.0\.1 was refused: .*none was shown/)]);
  });

  it('that has expired is refused with the day', async () => {
    const expired = await ours.sign({ name: 'expired-client', days: -1 });
    const said = await refusal(asking(), { tlsCa: ours.file, ...showing(expired) });
    expect(said.worker).toMatch(/\(CN=expired-client\) has expired on .* GMT: show a new one/);
    expect(said.door).toEqual([expect.stringContaining('CN=expired-client')]);
  });

  it('of an unknown authority is refused', async () => {
    const pendingConnection = await theirs.sign({ name: 'pendingConnection' });
    const said = await refusal(asking(), { tlsCa: ours.file, ...showing(pendingConnection) });
    expect(said.worker).toMatch(/\(CN=pendingConnection\) is of an authority that this coordinator does not know/);
    expect(said.door).toEqual([expect.stringContaining('CN=pendingConnection')]);
  });

  it('is asked for whatever is wanted, but not by probes', async () => {
    cluster = await startCluster(asking());
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
    // Once anew, once in a session that is resumed, which Node takes for authorized.
    expect(await status('/status')).toBe(403);
    expect(await status('/status')).toBe(403);
    expect(await status('/status', client)).toBe(200);
  });
});

describe('one side alone speaks TLS', () => {
  it('the coordinator: the worker is told to', async () => {
    cluster = await startCluster(speaking(server));
    const worker = await cluster.join({ url: cluster.coordinator.url.replace('wss', 'ws') });
    const [{ reason }] = await once(worker.events, 'reconnecting');
    expect(reason).toMatch(/^it hung up; if it speaks TLS, use wss:/);
  });

  it('the worker: it is told not to', async () => {
    cluster = await startCluster();
    const worker = await cluster.join({ url: cluster.coordinator.url.replace('ws', 'wss') });
    await expect(worker.done).rejects.toMatchObject({ message: expect.stringMatching(/does not speak TLS: use ws:/) });
  });

  it('nobody: what is no TLS does not disturb', async () => {
    cluster = await startCluster(speaking(server));
    const socket = connect(cluster.coordinator.port, '127.0.0.1');
    socket.write('hello?\n'.repeat(100));
    await once(socket.resume(), 'close');
    await cluster.join({ tlsCa: ours.file });
    expect((await cluster.coordinator.report).workersJoined).toBe(1);
  });
});

describe('the command line', () => {
  it('names the file that is wrong, with exit status 2', async () => {
    await writeFile(inFolder('empty.pem'), 'nothing\n');
    const worker = async (...options: string[]) => {
      const process_ = startCli(['worker', 'wss://127.0.0.1:9', '--engine', 'wasm', '--quiet', ...options]);
      return { status: await process_.exited, output: process_.output() };
    };
    expect(await worker('--tls-ca', inFolder('missing.pem'))).toEqual({
      status: 2,
      output: `lockstep: --tls-ca ${inFolder('missing.pem')} cannot be read (ENOENT)\n`,
    });
    expect((await worker('--tls-ca', inFolder('empty.pem'))).output).toMatch(/empty\.pem holds no certificate/);
    expect((await worker('--tls-cert', client.cert)).output).toMatch(/--tls-cert is given without --tls-key/);
    expect((await worker('--tls-cert', client.cert, '--tls-key', server.key)).output).toMatch(
      /is no key of --tls-cert/,
    );
  });

  it('asks for the status of a run, and says which option it takes', async () => {
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
    expect(strange.output).toMatch(/cannot be asked: .* of an authority that is not known here: give it with --tls-ca/);
    expect(strange.status).toBe(1);
    expect(uncertified.output).toMatch(/none was shown: give one with --tls-cert and --tls-key$/m);
    expect(uncertified.status).toBe(1);
    expect(plain.output).toMatch(/which is not encrypted, and --tls-ca or --tls-cert is given: write wss:/);
    expect(plain.status).toBe(2);
  });

  it("looks at a coordinator as the doctor does, with a worker's files", async () => {
    cluster = await startCluster({ ...speaking(server), tlsClientCa: ours.file });
    const look = async (files: ClientTlsFiles) => {
      const checks = await checkCoordinator(cluster!.coordinator.url, { tls: readClientTls(files) });
      return Object.fromEntries(checks.map(({ about, mark, says }) => [about, `${mark} ${says}`]));
    };
    const shown = { tlsCert: client.cert, tlsKey: client.key };
    const sound = await look({ tlsCa: ours.file, ...shown });
    expect(sound).toMatchObject({ answers: expect.stringMatching(/^ok wss:/), WebSockets: 'ok get through' });
    expect(Object.values(sound).filter((said) => !said.startsWith('ok'))).toEqual([]);
    expect((await look(shown))['answers']).toMatch(/^problem the coordinator's certificate is of an authority/);
    const uncertified = await look({ tlsCa: ours.file });
    expect(uncertified['WebSockets']).toMatch(/^problem are refused: .*none was shown: give one with --tls-cert/);
    expect(uncertified['token']).toMatch(/^problem not looked at: .*none was shown/);
  });

  it('joins with the files that it is given', async () => {
    cluster = await startCluster({ ...speaking(server), tlsClientCa: ours.file });
    // Its engine's bits are not this test's: the fake engine computes, the process only has to be let in.
    const files = ['--tls-ca', ours.file, '--tls-cert', client.cert, '--tls-key', client.key];
    const worker = startCli(['worker', cluster.coordinator.url, '--engine', 'wasm', '--no-cache', ...files]);
    await worker.says('joined as worker 1');
    worker.child.kill('SIGINT');
    expect(await worker.exited).toBe(130);
  });
});

it('the command for workers says all that they need', () => {
  const here = { url: 'wss://127.0.0.1:7350', host: '127.0.0.1', port: 7350 };
  expect(workerCommand({ ...here, url: 'ws://127.0.0.1:7350' }, {}, {})).toBe('lockstep worker ws://127.0.0.1:7350');
  expect(workerCommand(here, {}, { tlsCert: 'a.crt' })).toBe('lockstep worker wss://127.0.0.1:7350 --tls-ca <FILE>');
  const all = workerCommand({ ...here, host: '0.0.0.0' }, { token: 'x' }, { tlsCert: 'a.crt', tlsClientCa: 'a.pem' });
  expect(all).toBe(
    "LOCKSTEP_TOKEN=<token> lockstep worker wss://<this machine's address>:7350 --tls-ca <FILE> --tls-cert <FILE> --tls-key <FILE>",
  );
});
