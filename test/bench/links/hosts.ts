// The machines of a measurement: a hub and two machines with slow links to it, or this machine alone.
import { spawnSync } from 'node:child_process';
import { openRoom, type Machine } from '../../support/network-room.js';
import type { Link } from './options.js';

export interface Host {
  address: string;
  /** Words to put before a command that runs on this host. */
  prefix: readonly string[];
  /** The network device that it exchanges gradients over. */
  device: string;
}

export interface Hosts {
  hub: Host;
  pair: readonly [Host, Host];
  close(): Promise<void>;
}

/** Counts of all bytes that passed a network device, with headers. */
export interface Traffic {
  sent: number;
  received: number;
}

/**
 * @param hops number of slow links between two processes that exchange gradients: 1 if one of them is on the hub. The
 *   round trip between these processes is that of the link, whatever the number of hops.
 */
export async function openHosts(link: Link | 'loopback', hops: 1 | 2): Promise<Hosts> {
  if (link === 'loopback') {
    const here = { address: '127.0.0.1', prefix: [], device: 'lo' };
    return { hub: here, pair: [here, here], close: () => Promise.resolve() };
  }
  const conditions = { rateMbit: link.rateMbit, delayMs: link.roundTripMs / 2 / hops, loss: 0 };
  const room = await openRoom('program');
  const onNetwork = ({ address, prefix }: Machine): Host => ({ address, prefix, device: 'eth0' });
  try {
    const hub = onNetwork(await room.addMachine());
    const first = onNetwork(await room.addMachine(conditions));
    return { hub, pair: [first, onNetwork(await room.addMachine(conditions))], close: () => room.close() };
  } catch (error) {
    await room.close();
    throw error;
  }
}

export function trafficOf({ prefix, device }: Host): Traffic {
  const files = ['tx', 'rx'].map((direction) => `/sys/class/net/${device}/statistics/${direction}_bytes`);
  const [program, ...args] = [...prefix, 'cat', ...files];
  const [sent, received] = spawnSync(program, args, { encoding: 'utf8' }).stdout.trim().split('\n').map(Number);
  return { sent, received };
}
