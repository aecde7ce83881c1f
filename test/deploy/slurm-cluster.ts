// A one-node Slurm on this machine with all state in a folder: starts and ends Debian's munged, slurmctld and slurmd.
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

/** Reason why Slurm cannot run on this machine; undefined if it can. */
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

  /** @param folder owned by root */
  static async start(folder: string): Promise<SlurmCluster> {
    const place = (name: string) => path.join(folder, name);
    const [node] = hostname().split('.');
    for (const name of ['state', 'spool']) await mkdir(place(name));
    await writeFile(place('munge.key'), randomBytes(128), { mode: 0o400 });
    // munge's clients must reach its socket.
    await mkdir(place('munge'), { mode: 0o755 });
    await chmod(folder, 0o755);
    const settings = {
      ClusterName: 'test',
      SlurmctldHost: `${node}(127.0.0.1)`,
      SlurmctldPort: await freePort(),
      SlurmdPort: await freePort(),
      SlurmUser: 'root',
      SlurmdUser: 'root',
      AuthType: 'auth/munge',
      // A requeued job waits until the credentials of its first start have expired, 2 minutes by default.
      AuthInfo: `socket=${place('munge/socket')},cred_expire=5`,
      StateSaveLocation: place('state'),
      SlurmdSpoolDir: place('spool'),
      SlurmctldPidFile: place('slurmctld.pid'),
      SlurmdPidFile: place('slurmd.pid'),
      SlurmctldLogFile: place('slurmctld.log'),
      SlurmdLogFile: place('slurmd.log'),
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
    await writeFile(place('slurm.conf'), `${lines.join('\n')}\n`);
    const cluster = new SlurmCluster(place('slurm.conf'));
    const munge = ['--foreground', '--force', `--key-file=${place('munge.key')}`, `--socket=${place('munge/socket')}`];
    munge.push(
      `--pid-file=${place('munge/pid')}`,
      `--log-file=${place('munge/log')}`,
      `--seed-file=${place('munge/seed')}`,
    );
    cluster.#startDaemon('munged', munge);
    await until(() => Promise.resolve(existsSync(place('munge/socket'))));
    cluster.#startDaemon('slurmctld', ['-D', '-c', '-f', place('slurm.conf')]);
    cluster.#startDaemon('slurmd', ['-D', '-c', '-f', place('slurm.conf'), '-N', node]);
    await until(async () => (await cluster.ask('sinfo', '--noheader', '--format=%t')).trim() === 'idle');
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

  /** Output of the daemons. */
  get log(): string {
    return this.#log;
  }

  /** Runs a Slurm command. Returns its output, or an empty string if it fails. */
  async ask(command: string, ...args: string[]): Promise<string> {
    return run(command, args, { env: this.#environment }).then(
      ({ stdout }) => stdout,
      () => '',
    );
  }

  /** Runs a Slurm command. Rejects if it fails. */
  async tell(
    command: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
    cwd?: string,
  ): Promise<string> {
    const { stdout } = await run(command, args, {
      env: { ...this.#environment, ...environment },
      ...(cwd === undefined ? {} : { cwd }),
    });
    return stdout;
  }

  async stop(): Promise<void> {
    await endDaemons(this.#daemons);
  }
}

/** Polls a condition, as Slurm does not announce changes. Only the test's timeout ends it. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 250));
}
