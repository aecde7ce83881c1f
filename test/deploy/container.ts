// `docker run` without Docker: runs an image's command as process 1 in the image's root, with the image's user and
// environment.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { startCommand, type CliProcess } from '../support/cli.js';
import { inRoot, withIdentity, type Mount } from './chroot.js';
import type { Image } from './image-build.js';

/**
 * A network namespace with only a loopback device, in which all ports are free. It is removed when this process ends.
 */
export class PrivateNetwork {
  private constructor(private readonly holder: ChildProcess) {}

  static async open(): Promise<PrivateNetwork> {
    const command = ['--net', 'sh', '-c', 'ip link set lo up && echo up && exec cat'];
    const holder = spawn('unshare', command, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    return new PrivateNetwork(holder);
  }

  /** Command prefix that runs a command in this network namespace. */
  get prefix(): string[] {
    return ['nsenter', `--net=/proc/${this.holder.pid}/ns/net`];
  }

  async close(): Promise<void> {
    const ended = once(this.holder, 'exit');
    this.holder.stdin!.end();
    await ended;
  }
}

export interface ContainerOptions {
  network: PrivateNetwork;
  /** Replaces the image's command, but keeps the entry point. */
  command?: readonly string[];
  /** Replaces the image's entry point. */
  entrypoint?: readonly string[];
  environment?: Record<string, string>;
  mounts?: readonly Mount[];
  /** True for a read-only root, as with `read_only: true`. */
  isReadOnly?: boolean;
  /** True to drop all capabilities and to prevent gaining privileges: `cap_drop: [ALL]` and `no-new-privileges`. */
  isConfined?: boolean;
}

export class Container {
  private constructor(
    readonly process: CliProcess,
    private readonly identity: readonly string[],
    private readonly stopSignal: NodeJS.Signals,
  ) {}

  static async start({ root, config }: Image, options: ContainerOptions): Promise<Container> {
    const { network, mounts = [], isReadOnly = false, isConfined = false } = options;
    const environment = { ...config.environment, ...options.environment };
    const identity = await withIdentity(root, { user: config.user, environment, folder: config.folder, isConfined });
    const command = [...(options.entrypoint ?? config.entrypoint), ...(options.command ?? config.command)];
    const words = [...network.prefix, ...inRoot(root, [...identity, ...command], mounts, isReadOnly)];
    return new Container(startCommand(words, {}), identity, config.stopSignal as NodeJS.Signals);
  }

  /** Returns the host's process ID for process 1 in the container. */
  async #processId(): Promise<number> {
    const { pid } = this.process.child;
    return Number(await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'));
  }

  /** Returns the fields of /proc/PID/status for process 1. */
  async status(): Promise<Record<string, string>> {
    const lines = (await readFile(`/proc/${await this.#processId()}/status`, 'utf8')).split('\n');
    return Object.fromEntries(lines.map((line) => line.split(':\t') as [string, string]));
  }

  /** Runs a command in the container, like `docker exec`. */
  async execute(...command: string[]): Promise<{ status: number | null; output: string }> {
    const target = ['nsenter', '--target', String(await this.#processId()), '--mount', '--pid', '--net', '--root'];
    const executed = startCommand([...target, ...this.identity, ...command], {});
    const status = await executed.exited;
    return { status, output: executed.output() };
  }

  /** Stops the container, like `docker stop` but without a timeout. Returns the exit status. */
  async stop(signal = this.stopSignal): Promise<number | null> {
    if (this.process.child.exitCode === null) process.kill(await this.#processId(), signal);
    return this.process.exited;
  }
}

/** Writes a file to mount as /etc/hosts that resolves the given names to 127.0.0.1. */
export async function hostsFile(folder: string, ...names: string[]): Promise<Mount> {
  const from = path.join(folder, 'hosts');
  await writeFile(from, `127.0.0.1 localhost ${names.join(' ')}\n`);
  return { from, to: '/etc/hosts', readOnly: true };
}
