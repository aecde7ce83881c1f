// A one-node Slurm cluster on this machine with all state in a folder. Starts and stops Debian's munged, slurmctld and
// slurmd.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../support/free-port.js';
import { endDaemons } from './end-daemons.js';

const run = promisify(execFile);
const daemons = ['munged', 'slurmctld', 'slurmd'].map((name) => `/usr/sbin/${name}`);

/** Returns why Slurm cannot run on this machine; undefined if it can. */
export function whyNoSlurm(): string | undefined {
  if (process.getuid?.() !== 0) return 'starting Slurm needs root';
  const missing = daemons.filter((file) => !existsSync(file));
  return missing.length === 0
    ? undefined
    : `${missing.join(', ')} missing: run apt-get install --no-install-recommends slurm-wlm munge`;
}

export class SlurmCluster {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #daemons: ChildProcess[] = [];
  #log = '';

  private constructor(configuration: string) {
    this.#environment = { ...process.env, SLURM_CONF: configuration };
  }

  /** @param folder folder for all state; must be owned by root */
  static async start(folder: string): Promise<SlurmCluster> {
    const file = (name: string) => path.join(folder, name);
    const [node] = hostname().split('.');
    for (const name of ['state', 'spool']) await mkdir(file(name));
    await writeFile(file('munge.key'), randomBytes(128), { mode: 0o400 });
    // All users must be able to reach the socket of munged.
    await mkdir(file('munge'), { mode: 0o755 });
    await chmod(folder, 0o755);
    const settings = {
      ClusterName: 'test',
      SlurmctldHost: `${node}(127.0.0.1)`,
      SlurmctldPort: await freePort(),
      SlurmdPort: await freePort(),
      SlurmUser: 'root',
      SlurmdUser: 'root',
      AuthType: 'auth/munge',
      // A requeued job waits until the credentials from its first start have expired. The default is 2 minutes.
      AuthInfo: `socket=${file('munge/socket')},cred_expire=5`,
      StateSaveLocation: file('state'),
      SlurmdSpoolDir: file('spool'),
      SlurmctldPidFile: file('slurmctld.pid'),
      SlurmdPidFile: file('slurmd.pid'),
      SlurmctldLogFile: file('slurmctld.log'),
      SlurmdLogFile: file('slurmd.log'),
      ProctrackType: 'proctrack/linuxproc',
      TaskPlugin: 'task/none',
      SelectType: 'select/cons_tres',
      MpiDefault: 'none',
      JobRequeue: 1,
      SchedulerParameters: 'sched_interval=2,batch_sched_delay=1',
      ReturnToService: 2,
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
    lines.push(
      `NodeName=${node} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000`,
      `PartitionName=all Nodes=${node} Default=YES`,
    );
    await writeFile(file('slurm.conf'), `${lines.join('\n')}\n`);
    const cluster = new SlurmCluster(file('slurm.conf'));
    const munge = ['--foreground', '--force', `--key-file=${file('munge.key')}`, `--socket=${file('munge/socket')}`];
    munge.push(
      `--pid-file=${file('munge/pid')}`,
      `--log-file=${file('munge/log')}`,
      `--seed-file=${file('munge/seed')}`,
    );
    cluster.#startDaemon('munged', munge);
    await until(() => Promise.resolve(existsSync(file('munge/socket'))));
    cluster.#startDaemon('slurmctld', ['-D', '-c', '-f', file('slurm.conf')]);
    cluster.#startDaemon('slurmd', ['-D', '-c', '-f', file('slurm.conf'), '-N', node]);
    await until(async () => (await cluster.tryCommand('sinfo', '--noheader', '--format=%t')).trim() === 'idle');
    return cluster;
  }

  #startDaemon(name: string, args: readonly string[]): void {
    const child = spawn(`/usr/sbin/${name}`, args, { env: this.#environment, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text;
      });
    }
    this.#daemons.push(child);
  }

  /** Output of all daemons. */
  get log(): string {
    return this.#log;
  }

  /** Runs a Slurm command. Returns the output, or an empty string if the command fails. */
  async tryCommand(name: string, ...args: string[]): Promise<string> {
    return run(name, args, { env: this.#environment }).then(
      ({ stdout }) => stdout,
      () => '',
    );
  }

  /** Runs a Slurm command. Rejects if the command fails. */
  async command(
    name: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
    cwd?: string,
  ): Promise<string> {
    const { stdout } = await run(name, args, {
      env: { ...this.#environment, ...environment },
      ...(cwd === undefined ? {} : { cwd }),
    });
    return stdout;
  }

  async stop(): Promise<void> {
    await endDaemons(this.#daemons);
  }
}

/**
 * Polls a condition until it holds, because Slurm does not announce changes. Has no timeout except that of the test.
 */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 250));
}
