// Simulated machines on a virtual network. Each machine is a network namespace, connected by a virtual cable to a
// bridge in another namespace. Cables can be unplugged, and can be slow and lossy. Needs root on Linux with iproute2.
// The host's own network is not changed.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../shared/errors.js';

const run = promisify(execFile);
const namespaces = '/var/run/netns';
/** The Python file stays in the source tree when a benchmark is compiled to dist/test. */
const badCable = ['bad_cable.py', '../../../test/support/bad_cable.py']
  .map((file) => fileURLToPath(new URL(file, import.meta.url)))
  .find((file) => existsSync(file))!;

export interface LinkConditions {
  /** Delay added to every frame, in each direction. */
  delayMs: number;
  /** Fraction of frames that are lost, from 0 to 1. */
  loss: number;
  /** Rate in each direction, in Mbit/s; unlimited by default. Up to 200 ms of frames are queued, then frames are lost. */
  rateMbit?: number;
}

export interface Machine {
  address: string;
  /** Command prefix that runs a command on the simulated machine. */
  prefix: readonly string[];
  pullCable(): Promise<void>;
  plugIn(): Promise<void>;
}

export interface NetworkRoom {
  /** @param conditions delay and loss of the machine's cable; none by default */
  addMachine(conditions?: LinkConditions): Promise<Machine>;
  /** Removes the network. All processes on its machines must have ended. */
  close(): Promise<void>;
}

/** Returns the reason why the host cannot create the network; undefined if it can. */
export async function whyNoRoom(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `network namespaces need Linux, and this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'creating network namespaces needs root';
  try {
    await run('ip', ['-V']);
    const room = await openRoom();
    try {
      await room.addMachine();
    } finally {
      await room.close();
    }
    return undefined;
  } catch (error) {
    return `cannot create a network (${messageOf(error).trim()}): ip is part of iproute2`;
  }
}

/**
 * Returns how this host can emulate a slow, lossy link: with netem, or with a program that forwards frames. If neither
 * works, returns the reason.
 */
export async function meansOfConditions(): Promise<{ means: 'netem' | 'program' } | { reason: string }> {
  const room = await openRoom();
  try {
    const { prefix } = await room.addMachine();
    await on(prefix, 'tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'netem', 'delay', '1ms');
    return { means: 'netem' };
  } catch {
    if (existsSync('/dev/net/tun')) return { means: 'program' };
    return { reason: 'this kernel has neither netem nor /dev/net/tun' };
  } finally {
    await room.close();
  }
}

let rooms = 0;
let leftoversRemoved: Promise<void> | undefined;

export async function openRoom(means: 'netem' | 'program' = 'netem'): Promise<NetworkRoom> {
  leftoversRemoved ??= removeLeftovers();
  await leftoversRemoved;
  const room = `lockstep-${process.pid}-${++rooms}`;
  const switchSpace = `${room}-switch`;
  const spaces: string[] = [];
  const cables: ChildProcess[] = [];
  const onSwitch = ['ip', 'netns', 'exec', switchSpace];

  async function addSpace(name: string): Promise<readonly string[]> {
    await run('ip', ['netns', 'add', name]);
    spaces.push(name);
    return ['ip', 'netns', 'exec', name];
  }

  /** Creates a pair of connected devices: eth0 on the machine and a port on the switch. */
  async function layCable(space: string, port: string, conditions: LinkConditions | undefined): Promise<void> {
    // Links with a rate are the same on all hosts.
    if (conditions !== undefined && (means === 'program' || conditions.rateMbit !== undefined)) {
      const { delayMs, loss, rateMbit } = conditions;
      const ends = [space, 'eth0', switchSpace, port, String(delayMs), String(loss)];
      const cable = spawn('python3', [badCable, ...ends], { stdio: ['pipe', 'pipe', 'inherit'] });
      cables.push(cable);
      // bad_cable.py prints a line once the cable works.
      await Promise.race([once(cable.stdout, 'data'), once(cable, 'exit')]);
      if (rateMbit === undefined) return;
      const limit = ['tbf', 'rate', `${rateMbit}mbit`, 'burst', String(burstBytes(rateMbit)), 'latency', '200ms'];
      await on(['ip', 'netns', 'exec', space], 'tc', 'qdisc', 'add', 'dev', 'eth0', 'root', ...limit);
      await on(onSwitch, 'tc', 'qdisc', 'add', 'dev', port, 'root', ...limit);
      return;
    }
    await run('ip', [
      'link',
      'add',
      'eth0',
      'netns',
      space,
      'type',
      'veth',
      'peer',
      'name',
      port,
      'netns',
      switchSpace,
    ]);
    if (conditions === undefined) return;
    const netem = ['root', 'netem', 'delay', `${conditions.delayMs}ms`, 'loss', `${100 * conditions.loss}%`];
    await run('ip', ['netns', 'exec', space, 'tc', 'qdisc', 'add', 'dev', 'eth0', ...netem]);
    await on(onSwitch, 'tc', 'qdisc', 'add', 'dev', port, ...netem);
  }

  try {
    await addSpace(switchSpace);
    await on(onSwitch, 'ip', 'link', 'add', 'bridge0', 'type', 'bridge');
    await on(onSwitch, 'ip', 'link', 'set', 'bridge0', 'up');
  } catch (error) {
    await close();
    throw error;
  }

  async function close(): Promise<void> {
    for (const cable of cables) {
      const ended = cable.exitCode === null && cable.signalCode === null ? once(cable, 'exit') : undefined;
      cable.stdin?.end();
      await ended;
    }
    // Deleting a namespace also deletes its devices.
    for (const space of spaces.splice(0)) await run('ip', ['netns', 'del', space]);
  }

  return {
    async addMachine(conditions) {
      const index = spaces.length;
      const space = `${room}-${index}`;
      const [prefix, port, address] = [await addSpace(space), `port${index}`, `10.77.0.${index}`];
      await layCable(space, port, conditions);
      await on(onSwitch, 'ip', 'link', 'set', port, 'master', 'bridge0', 'up');
      await on(prefix, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
      for (const device of ['lo', 'eth0']) await on(prefix, 'ip', 'link', 'set', device, 'up');
      return {
        address,
        prefix,
        pullCable: () => on(onSwitch, 'ip', 'link', 'set', port, 'down'),
        plugIn: () => on(onSwitch, 'ip', 'link', 'set', port, 'up'),
      };
    },
    close,
  };
}

/** Returns how much may leave at once: 1 ms of frames, but at least the 10 frames that TCP sends at first. */
function burstBytes(rateMbit: number): number {
  return Math.max(10 * 1514, rateMbit * 125);
}

async function on(prefix: readonly string[], ...command: string[]): Promise<void> {
  const [program, ...args] = [...prefix, ...command];
  await run(program, args);
}

/** Removes namespaces left behind by test processes that were killed before they could remove their networks. */
async function removeLeftovers(): Promise<void> {
  if (!existsSync(namespaces)) return;
  for (const name of await readdir(namespaces)) {
    const [, owner] = /^lockstep-(\d+)-/.exec(name) ?? [];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) await run('ip', ['netns', 'del', name]);
  }
}
