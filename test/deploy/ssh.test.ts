// Runs the script in deploy/ssh with a real sshd on this machine. Workers connect to the coordinator through the SSH
// connections that start them. The run produces the same hash as a run without SSH, even if one connection is cut.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport, runCli, startCli, startCommand, stepsMade } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { freePort } from '../support/free-port.js';
import { sayWhySkipped } from '../support/why-skipped.js';
import { until } from './slurm-cluster.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const daemon = '/usr/sbin/sshd';
const reason =
  process.getuid?.() !== 0
    ? 'its sshd is run by root'
    : existsSync(daemon)
      ? undefined
      : `${daemon} missing: apt-get install --no-install-recommends openssh-server`;
if (reason !== undefined) sayWhySkipped('worker.sh through a real sshd', reason);
const inFolder = folderPerFile();
const run = promisify(execFile);
const token = 'a-token-that-no-list-of-processes-may-show';
const hosts = ['garage', 'cellar'];

function recipe(steps: number): string[] {
  const model = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', String(steps)];
  return [...model, '--data', inFolder('images'), '--no-tensorboard'];
}

/** Returns the command lines of all processes on this machine. */
function commandLines(): string[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return processes.map((process) => {
    try {
      return readFileSync(`/proc/${process}/cmdline`, 'utf8').replaceAll('\0', ' ');
    } catch {
      return ''; // The process has exited in the meantime.
    }
  });
}

describe.skipIf(reason !== undefined)('worker.sh', () => {
  let sshd: ChildProcess | undefined;

  beforeAll(async () => {
    for (const name of ['host-key', 'user-key']) {
      await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', inFolder(name)]);
    }
    const port = await freePort();
    const ofDaemon = {
      Port: port,
      ListenAddress: '127.0.0.1',
      HostKey: inFolder('host-key'),
      AuthorizedKeysFile: inFolder('user-key.pub'),
      // With strict modes, sshd would reject the key file, because a parent folder is world-writable.
      StrictModes: 'no',
      PermitRootLogin: 'prohibit-password',
      PasswordAuthentication: 'no',
      UsePAM: 'no',
      PidFile: 'none',
    };
    await writeFile(inFolder('sshd_config'), lines(ofDaemon));
    const hostKey = await readFile(inFolder('host-key.pub'), 'utf8');
    await writeFile(inFolder('known_hosts'), `[127.0.0.1]:${port} ${hostKey}`);
    const ofClient = {
      Hostname: '127.0.0.1',
      Port: port,
      User: userInfo().username,
      IdentityFile: inFolder('user-key'),
      IdentitiesOnly: 'yes',
      UserKnownHostsFile: inFolder('known_hosts'),
    };
    await writeFile(inFolder('ssh_config'), `Host ${hosts.join(' ')}\n${lines(ofClient)}`);
    // Wrapper for ssh that makes the script use this configuration instead of the user's.
    await mkdir(inFolder('bin'));
    await writeFile(inFolder('bin/ssh'), `#!/bin/sh\nexec /usr/bin/ssh -F ${inFolder('ssh_config')} "$@"\n`, {
      mode: 0o755,
    });
    // sshd needs /run/sshd, so it gets a private /run.
    const inOwnRun = `mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec ${daemon} -D -e -f "$0"`;
    const alone = ['--pdeathsig', 'KILL', 'unshare', '--mount', 'sh', '-c', inOwnRun, inFolder('sshd_config')];
    sshd = spawn('setpriv', alone, { stdio: 'ignore' });
    await until(async () => {
      const socket = connect(port, '127.0.0.1');
      const isOpen = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      socket.destroy();
      return isOpen;
    });
    await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 400, testImages: 100 }));
  });
  afterAll(async () => {
    if (sshd === undefined) return;
    const ended = once(sshd, 'exit');
    sshd.kill();
    await ended;
  });

  async function startWorker(host: string, port: number, more: NodeJS.ProcessEnv = {}, ...options: string[]) {
    const environment = {
      PATH: `${inFolder('bin')}:${process.env['PATH']}`,
      LOCKSTEP_TOKEN: token,
      LOCKSTEP: `${process.execPath} ${path.join(root, 'dist/cli.js')}`,
      PORT: String(port),
      REMOTE_PORT: String(await freePort()),
      ...more,
    };
    const script = path.join(root, 'deploy/ssh/worker.sh');
    return startCommand([script, host, '--engine', 'wasm', '--no-cache', ...options], environment);
  }

  async function startCoordinator(steps: number, port: number, runDirectory: string) {
    const words = ['coordinator', '--port', String(port), '--min-workers', '2', ...recipe(steps)];
    const coordinator = startCli([...words, '--run-dir', runDirectory], { LOCKSTEP_TOKEN: token });
    await coordinator.says('waiting for workers');
    return coordinator;
  }

  async function hashAlone(steps: number): Promise<string> {
    const directory = inFolder(`alone-${steps}`);
    await runCli(['train', ...recipe(steps), '--workers', '1', '--engine', 'wasm', '--run-dir', directory]);
    return (await readReport(directory)).weightsSha256;
  }

  it('connects workers to a coordinator that listens on loopback only, and reveals the token to nobody', async () => {
    const weightsSha256 = await hashAlone(40);
    const port = await freePort();
    const coordinator = await startCoordinator(40, port, inFolder('tunnels'));
    const first = await startWorker(hosts[0], port);
    await coordinator.says(/garage joined/);
    const shown = commandLines();
    expect(shown.some((line) => line.includes('--name garage'))).toBe(true);
    expect(shown.filter((line) => line.includes(token))).toEqual([]);
    const second = await startWorker(hosts[1], port);
    expect(await coordinator.exited).toBe(0);
    expect([await first.exited, await second.exited]).toEqual([0, 0]);
    expect(await readReport(inFolder('tunnels'))).toMatchObject({ weightsSha256, workersJoined: 2, workersLost: 0 });
  });

  it('may lose a connection without changing the result, and the cut-off worker exits by itself', async () => {
    const weightsSha256 = await hashAlone(150);
    const port = await freePort();
    const coordinator = await startCoordinator(150, port, inFolder('cut'));
    const first = await startWorker(hosts[0], port, {}, '--reconnect-timeout', '3');
    const second = await startWorker(hosts[1], port);
    await coordinator.says(/garage joined/);
    await coordinator.says(/cellar joined/);
    await stepsMade(inFolder('cut'), 20);
    first.child.kill();
    expect(await coordinator.exited).toBe(0);
    expect(await second.exited).toBe(0);
    expect(await readReport(inFolder('cut'))).toMatchObject({ weightsSha256, workersLost: 1, exact: true });
    await until(() => Promise.resolve(!commandLines().some((line) => line.includes('--name garage'))));
  });

  it('exits at once if the port at the other end is in use, as README.md says', async () => {
    const port = await freePort();
    const taken = createServer().listen(port, '127.0.0.1');
    await once(taken, 'listening');
    const worker = await startWorker(hosts[0], port, { REMOTE_PORT: String(port) });
    expect(await worker.exited).toBe(255);
    expect(worker.output()).toContain('remote port forwarding failed for listen port');
    taken.close();
  });
});

function lines(settings: Record<string, string | number>): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key} ${value}\n`)
    .join('');
}
